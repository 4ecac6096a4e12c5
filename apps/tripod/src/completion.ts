import { TripodError } from "@tripod/base";
import { Command } from "commander";
import { commands } from "./commands.ts";

/** Every word path of the CLI with what may follow it: subcommands and long options. */
async function words(): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>([["", Object.keys(commands)]]);
  const visit = (command: Command, path: string): void => {
    const subcommands = command.commands.map((each) => each.name());
    const options = command.options.flatMap((option) => (option.long === undefined ? [] : [option.long]));
    found.set(path, [...subcommands, ...options, "--help"]);
    for (const each of command.commands) visit(each, `${path} ${each.name()}`);
  };
  for (const [name, { load }] of Object.entries(commands)) {
    if (name !== "completion") visit(await load(), name);
  }
  return found;
}

const bash = (table: Map<string, string[]>): string => `_tripod() {
  local path="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do case $word in -*) ;; *) path="\${path:+$path }$word" ;; esac; done
  local choices=""
  case $path in
${[...table].map(([path, choices]) => `    "${path}") choices="${choices.join(" ")}" ;;`).join("\n")}
  esac
  COMPREPLY=($(compgen -W "$choices" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _tripod tripod
`;

const zsh = (table: Map<string, string[]>): string => `#compdef tripod
autoload -U +X bashcompinit && bashcompinit
${bash(table)}`;

const fish = (table: Map<string, string[]>): string =>
  [...table]
    .map(([path, choices]) => {
      const seen =
        path === ""
          ? "__fish_use_subcommand"
          : path
              .split(" ")
              .map((word) => `__fish_seen_subcommand_from ${word}`)
              .join("; and ");
      return `complete -c tripod -n '${seen}' -a '${choices.join(" ")}'`;
    })
    .join("\n");

/** `tripod completion SHELL`. */
export function completionCommand(): Command {
  return new Command("completion")
    .description("Print a completion script")
    .argument("<shell>", "bash, zsh or fish")
    .addHelpText(
      "after",
      "\nExamples:\n  source <(tripod completion bash)\n  tripod completion fish > ~/.config/fish/completions/tripod.fish",
    )
    .action(async (shell: string) => {
      const printers = new Map([
        ["bash", bash],
        ["zsh", zsh],
        ["fish", fish],
      ]);
      const print = printers.get(shell);
      if (print === undefined)
        throw new TripodError("invalid", `completion: no script for ${shell}; choose bash, zsh or fish`);
      process.stdout.write(`${print(await words())}\n`);
    });
}
