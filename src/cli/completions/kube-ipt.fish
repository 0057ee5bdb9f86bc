# Completion of kube-ipt in fish: kube-ipt completions fish | source

function __kube_ipt_complete
    set -l words (commandline --tokenize --current-process --cut-at-cursor)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -e words[1]
    set -l typed (commandline --current-token --cut-at-cursor)
    set -l lines ($program __complete $words "$typed" 2>/dev/null </dev/null)
    set -l rest $lines[-1]
    set -e lines[-1]
    if test "$rest" = :0
        set -l flag (string match -r '^--[^=]*=' -- $typed)
        for path in (__fish_complete_path (string replace -- "$flag" "" $typed))
            echo "$flag$path"
        end
    end
    for line in $lines
        echo $line
    end
end

complete --command kube-ipt --no-files --arguments '(__kube_ipt_complete)'
