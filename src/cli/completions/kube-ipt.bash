# Completion of kube-ipt in bash: source <(kube-ipt completions bash)

_kube_ipt() {
    local line=${COMP_LINE:0:COMP_POINT} words=() at=-1 i word
    # bash takes words apart at : and =, which names and flags here hold. They are put together as they were typed.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $i -eq 0 || $line == [[:space:]]* ]]; then
            line=${line#"${line%%[![:space:]]*}"}
            words[++at]=
        fi
        [[ $i -eq COMP_CWORD ]] && word=$line
        words[at]+=$word
        line=${line#"$word"}
    done
    # Quotes are the shell's.
    for ((i = 0; i <= at; i++)); do
        word=${words[i]#[\"\']}
        [[ $i -lt $at ]] && word=${word%[\"\']} word=${word//\\/}
        words[i]=$word
    done

    # What stands before the last : or = is not to be written again.
    local typed=${words[at]} kept=
    [[ $COMP_WORDBREAKS == *=* && $typed == *=* ]] && kept=${typed%"${typed##*=}"}
    [[ $COMP_WORDBREAKS == *:* && $typed == *:* ]] && kept=${typed%"${typed##*:}"}

    local found=
    COMPREPLY=()
    while IFS= read -r line; do
        found=$line
        [[ $line == :[0-9]* ]] && continue
        line=${line%%$'\t'*}
        COMPREPLY+=("${line#"$kept"}")
    done < <("${words[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null </dev/null)
    if [[ $found == :0 ]]; then
        compopt -o default 2>/dev/null
    fi
}

complete -F _kube_ipt kube-ipt
