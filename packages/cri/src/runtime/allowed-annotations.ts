type Annotations = Readonly<Record<string, string>>;

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** `*` is anything but a slash, `?` one character that is none; everything else is itself. */
const matcher = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replace(/[^*?]+/g, escaped)
      .replaceAll("*", "[^/]*")
      .replaceAll("?", "[^/]")}$`,
    "s",
  );

const allowed = (annotations: Annotations, patterns: readonly string[]): Annotations => {
  const matchers = patterns.map(matcher);
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => matchers.some((one) => one.test(key))));
};

/** The annotations that config.json gets: those of Pod and container that the handler lets through; the container's win. */
export const allowedAnnotations = (
  from: { readonly pod: Annotations; readonly container: Annotations },
  handler: { readonly podAnnotations: readonly string[]; readonly containerAnnotations: readonly string[] },
): Annotations => ({
  ...allowed(from.pod, handler.podAnnotations),
  ...allowed(from.container, handler.containerAnnotations),
});
