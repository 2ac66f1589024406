/** Errors that a person reads: one sentence on what is wrong, one on the way out. */

export class PlainError extends Error {
  override readonly name = "PlainError";
}

const KNOWN: [RegExp, (match: RegExpMatchArray) => string][] = [
  [
    /(?:Could not find an implementation for|not implemented for|unsupported op(?:erator)?:?|No Op registered for|Unrecognized (?:schema|op)|unresolved custom op:?)\s*['"]?([\w.:]+)/i,
    (match) =>
      `This runtime has no operator ${match[1]}. Export the network again with: edgevsr export SOURCE --target onnx-web`,
  ],
  [
    /Element type INT8 is not supported|unsupported (?:element|data) ?type.*int8/i,
    () => INT8_IO,
  ],
  [
    /out of memory|allocation failed|Array buffer allocation|memory access out of bounds|bad_alloc/i,
    () => "There is not enough memory for this network at this size. Choose a smaller LR size.",
  ],
  [
    /no (?:available|supported) (?:backend|adapter)|WebGPU is not (?:supported|available)|requestAdapter|device (?:was )?lost/i,
    () => "WebGPU does not work here. The network can run on the processor instead: choose wasm.",
  ],
  [
    /protobuf parsing failed|Invalid (?:model|flatbuffer)|Could not (?:load|parse) model|Failed to (?:load|build|create) .*model|The model is not a valid/i,
    () => "The file is damaged or is no network. Export it again with: edgevsr export",
  ],
  [
    /Failed to fetch|NetworkError|Load failed/i,
    () => "A file of the page could not be loaded. Is edgevsr demo still running?",
  ],
];

export const INT8_IO =
  "LiteRT.js takes no int8 inputs or outputs. Export the network with --io float, or as .onnx: edgevsr export SOURCE --target onnx-web";

/** Return what a person should read of any error. */
export function plain(error: unknown): string {
  if (error instanceof PlainError) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  for (const [pattern, say] of KNOWN) {
    const match = text.match(pattern);
    if (match) return say(match);
  }
  return `Something failed that has no name here: ${text.replace(/\s+/g, " ").slice(0, 200)}`;
}
