import { Argument, Command } from "commander";
import { commands } from "./commands.ts";

interface Completions {
  /** Every word path of the CLI ("image pull") with what may follow it: subcommands, choices of arguments and long options. */
  readonly words: ReadonlyMap<string, readonly string[]>;
  /** Options with a value, "--root" and "-n": what follows one of them is a file's name, or the user's own. */
  readonly valued: readonly string[];
  /** The paths that take names of images. */
  readonly takeImages: readonly string[];
}

async function completions(): Promise<Completions> {
  const words = new Map<string, string[]>([["", Object.keys(commands)]]);
  const takeImages: string[] = [];
  const [valued, plain] = [new Set<string>(), new Set<string>()];
  const visit = (command: Command, path: string): void => {
    const subcommands = command.commands.map((each) => each.name());
    const options = command.options.flatMap((option) => (option.long === undefined ? [] : [option.long]));
    const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
    words.set(path, [...subcommands, ...choices, ...options, "--help"]);
    for (const option of command.options)
      for (const name of [option.long, option.short]) if (name) (option.isBoolean() ? plain : valued).add(name);
    if (command.registeredArguments.some((argument) => /^images?$/.test(argument.name()))) takeImages.push(path);
    for (const each of command.commands) visit(each, `${path} ${each.name()}`);
  };
  for (const [name, { load }] of Object.entries(commands)) {
    visit(await load(), name);
  }
  return { words, valued: [...valued.difference(plain)], takeImages };
}

// bash takes "name:tag" for three words, so the word is read from the line, and what stands before its last colon left out.
const bash = ({ words, valued, takeImages }: Completions): string => `_tripod_words() {
  case $1 in
${[...words].map(([path, choices]) => `    "${path}") echo "${choices.join(" ")}" ;;`).join("\n")}
    *) return 1 ;;
  esac
}
_tripod() {
  local at="" root="" line="\${COMP_LINE:0:COMP_POINT}" word choices i
  local current="\${line##* }"
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ "\${COMP_WORDS[i-1]}" == --root ]]; then root="$word"; continue; fi
    if [[ "$word" != -* ]] && _tripod_words "\${at:+$at }$word" > /dev/null; then at="\${at:+$at }$word"; fi
  done
  case "\${COMP_WORDS[COMP_CWORD-1]}" in ${valued.join("|")})
    COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  choices="$(_tripod_words "$at")"
  case $at in ${takeImages.map((path) => `"${path}"`).join("|")})
    choices="$choices $("\${COMP_WORDS[0]}" image ls --names \${root:+--root "$root"} 2> /dev/null)" ;;
  esac
  COMPREPLY=($(compgen -W "$choices" -- "$current"))
  if [[ "$COMP_WORDBREAKS" == *:* && "$current" == *:* ]]; then COMPREPLY=("\${COMPREPLY[@]#"\${current%:*}:"}"); fi
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _tripod tripod
`;

const zsh = (found: Completions): string => `#compdef tripod
autoload -U +X bashcompinit && bashcompinit
${bash(found)}`;

const fish = ({ words, takeImages }: Completions): string => {
  const line = (path: string, choices: string): string => {
    const seen = path.split(" ").map((word) => `__fish_seen_subcommand_from ${word}`);
    return `complete -c tripod -n '${path === "" ? "__fish_use_subcommand" : seen.join("; and ")}' -a '${choices}'`;
  };
  return [
    ...[...words].map(([path, choices]) => line(path, choices.join(" "))),
    ...takeImages.map((path) => line(path, "(tripod image ls --names 2>/dev/null)")),
  ].join("\n");
};

const printers = { bash, zsh, fish };

/** `tripod completion SHELL`. */
export function completionCommand(): Command {
  return new Command("completion")
    .description("Print a completion script")
    .addArgument(new Argument("<shell>", "the shell that reads it").choices(Object.keys(printers)))
    .addHelpText(
      "after",
      "\nExamples:\n  source <(tripod completion bash)\n  tripod completion fish > ~/.config/fish/completions/tripod.fish",
    )
    .action(async (shell: keyof typeof printers) => {
      process.stdout.write(`${printers[shell](await completions())}\n`);
    });
}
