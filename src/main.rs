//! The program `kube-ipt`; all of it is in the library.

/// A node's endpoints are many small pieces of memory, taken by several threads at once: a quarter of a run with the
/// allocator of glibc, and more with that of musl.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kube_ipt::cli::main()
}
