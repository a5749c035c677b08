/** What shells run when Tab is pressed: they ask this very command what can stand at the cursor. */

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

const bash = `# Completion of spillway for bash.
#   spillway completion bash > ~/.local/share/bash-completion/completions/spillway
_spillway() {
  local value current=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  # A break alone is a word to bash, and empty to whoever types.
  case $current in '=' | ':') current= ;; esac
  while IFS=$'\\t' read -r value _; do
    case $value in
      :files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
      :dirs) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
      *) COMPREPLY+=("$value") ;;
    esac
  done < <("$1" __complete bash "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _spillway spillway
`

const zsh = `#compdef spillway
# Completion of spillway for zsh: in a folder of $fpath, as _spillway, or
#   source <(spillway completion zsh)
_spillway() {
  local value text
  local -a found
  while IFS=$'\\t' read -r value text; do
    case $value in
      :files) _files ;;
      :dirs) _files -/ ;;
      *) found+=("\${value//:/\\\\:}:$text") ;;
    esac
  done < <("\${words[1]}" __complete zsh "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#found )) && _describe -t spillway spillway found
}
if [[ $funcstack[1] == _spillway ]]; then _spillway "$@"; else compdef _spillway spillway; fi
`

const fish = `# Completion of spillway for fish.
#   spillway completion fish > ~/.config/fish/completions/spillway.fish
function __spillway_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l rest
  if test (count $words) -gt 1
    set rest $words[2..-1]
  end
  for line in ($words[1] __complete fish $rest 2>/dev/null)
    switch $line
      case ':files*'
        __fish_complete_path (commandline -ct)
      case ':dirs*'
        __fish_complete_directories (commandline -ct)
      case '*'
        echo $line
    end
  end
end
complete -c spillway -f -a '(__spillway_complete)'
`

export const completionScripts: Readonly<Record<Shell, string>> = { bash, zsh, fish }
