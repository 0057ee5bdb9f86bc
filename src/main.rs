//! The program `kube-ipt`; all of it is in the library.

fn main() -> std::process::ExitCode {
    kube_ipt::cli::main()
}
