//! `dhow completion bash|zsh|fish`: scripts that ask this program what may stand next.

use crate::app::App;
use crate::console;
use crate::failure::{Failure, Outcome};
use crate::flags::Parsed;
use crate::tree::{Command, Count, Entry, Node, ROOT, run};

pub(crate) static COMMAND: Command = Command {
    usage: "SHELL",
    about: "Generate the autocompletion script for the specified shell (bash, fish or zsh)",
    aliases: "",
    count: Count::Exactly(1),
    stop_early: false,
    flags: &[],
    run: run!(execute),
};

async fn execute(_app: &App, args: &Parsed) -> Outcome {
    let script = match args.arg(0) {
        "bash" => bash(),
        "zsh" => format!(
            "#compdef dhow\nautoload -U +X bashcompinit && bashcompinit\n{}",
            bash()
        ),
        "fish" => fish(),
        other => {
            return Err(Failure::new(format!(
                "no completion script for {other:?}: bash, fish and zsh have one"
            )));
        }
    };
    console::print(script);
    Ok(())
}

/// Every place in the tree with the words that may stand there.
fn places() -> Vec<(String, Vec<String>)> {
    fn walk(path: &str, entries: &'static [Entry], out: &mut Vec<(String, Vec<String>)>) {
        out.push((
            path.to_owned(),
            entries.iter().map(|e| e.names[0].to_owned()).collect(),
        ));
        for entry in entries {
            let path = format!("{path} {}", entry.names[0]).trim().to_owned();
            match &entry.node {
                Node::Group(_, inner) => walk(&path, inner, out),
                Node::Command(command) => {
                    let flags = command.flags.iter().filter(|f| !f.about.is_empty());
                    out.push((path, flags.map(|f| format!("--{}", f.name)).collect()));
                }
                Node::MissingGroup(..) => {}
            }
        }
    }
    let mut out = Vec::new();
    walk("", ROOT, &mut out);
    out
}

fn bash() -> String {
    let mut cases = String::new();
    for (path, words) in places() {
        cases.push_str(&format!("    \"{path}\") words=\"{}\" ;;\n", words.join(" ")));
    }
    format!(
        "_dhow() {{
  local word path=\"\" words=\"\" cur=\"${{COMP_WORDS[COMP_CWORD]}}\" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\"${{COMP_WORDS[i]}}\"
    case \"$word\" in
      -*) ;;
      *) case \" $(_dhow_words \"$path\") \" in *\" $word \"*) path=\"${{path:+$path }}$word\" ;; *) break ;; esac ;;
    esac
  done
  COMPREPLY=($(compgen -W \"$(_dhow_words \"$path\")\" -- \"$cur\"))
}}
_dhow_words() {{
  local words=\"\"
  case \"$1\" in
{cases}  esac
  printf '%s' \"$words\"
}}
complete -o default -F _dhow dhow
"
    )
}

fn fish() -> String {
    let mut out = String::from("complete -c dhow -f\n");
    for (path, words) in places() {
        let condition = match path.as_str() {
            "" => "__fish_use_subcommand".to_owned(),
            path => path
                .split(' ')
                .map(|word| format!("__fish_seen_subcommand_from {word}"))
                .collect::<Vec<_>>()
                .join("; and "),
        };
        for word in words {
            match word.strip_prefix("--") {
                Some(flag) => out.push_str(&format!("complete -c dhow -n '{condition}' -l {flag}\n")),
                None => out.push_str(&format!("complete -c dhow -n '{condition}' -a {word}\n")),
            }
        }
    }
    out
}
