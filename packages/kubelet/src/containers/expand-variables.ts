/**
 * Replaces `$(NAME)` by the variable's value in a command, an argument or a variable's value. `$$` is a literal dollar, and a name that
 * is not known stays as it is written.
 */
export function expandVariables(text: string, lookUp: (name: string) => string | undefined): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (found: string, name: string | undefined) =>
    name === undefined ? "$" : (lookUp(name) ?? found),
  );
}
