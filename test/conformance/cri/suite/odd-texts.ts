/** Labels as kubelets send them, and some that only the interface allows. */
export const oddLabels: Record<string, string> = {
  "io.kubernetes.pod.name": "pod",
  "example.com/a": "1",
  empty: "",
  UPPER: "Case",
};

/** Annotations may hold any text, which the runtime must hand back as it is. */
export const oddAnnotations: Record<string, string> = {
  "example.com/json": '{"a":["b",{"c":null}]}',
  "lines and\ttabs": "first\nsecond\r\n\tthird",
  unicode: "żółć 日本語 🫖",
  empty: "",
  long: "x".repeat(10_000),
};
