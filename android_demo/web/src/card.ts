/** The card beside an exported network: all that the page knows of it. Cards are untrusted. */

import { PlainError } from "./errors.js";

export type Dtype = "float32" | "int8" | "uint8";
export type Pixels = Uint8Array<ArrayBuffer>;

export interface TensorSpec {
  readonly name: string;
  readonly role: string;
  readonly shape: readonly (number | null)[];
  readonly dtype: Dtype;
  readonly scale: number | null;
  readonly zeroPoint: number | null;
}

export interface Card {
  readonly net: string;
  readonly scale: number;
  readonly colour: "y" | "rgb";
  readonly precision: "int8" | "float";
  /** Whether an SR frame depends on more than its LR frame. */
  readonly recurrent: boolean;
  readonly format: "onnx" | "tflite";
  /** LR frame, pixels. */
  readonly width: number;
  readonly height: number;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly params: number | null;
  readonly ops: Readonly<Record<string, number>>;
  readonly psnrYDb: Readonly<Record<string, number>>;
  readonly source: string | null;
}

export const MAX_CARD_BYTES = 4 << 20;
export const MAX_NET_BYTES = 256 << 20;
const MAX_SIDE = 4096;
const ROLE = /^(frame|previous_frame|previous_sr|sr|state_in:\d+|state_out:\d+)$/;

type Json = Readonly<Record<string, unknown>>;

/** Return the card in JSON text; `where` is named in errors. */
export function parseCard(text: string, where: string): Card {
  const wrong = (key: string): never => {
    throw new PlainError(
      `${where}: not a card of an exported network (${key}). Write it again with: edgevsr export`,
    );
  };
  let value: Json;
  try {
    value = object(JSON.parse(text)) ?? wrong("not a JSON object");
  } catch (error) {
    if (error instanceof PlainError) throw error;
    return wrong("not JSON");
  }
  const text_ = (key: string) => string(value[key]) ?? wrong(key);
  const size = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text_("size"));
  const width = Number(size?.[1]);
  const height = Number(size?.[2]);
  if (!(width <= MAX_SIDE && height <= MAX_SIDE)) wrong("size");
  const scale = integer(value.scale, 1, 16) ?? wrong("scale");
  const colour = value.colour === "y" || value.colour === "rgb" ? value.colour : wrong("colour");
  const format =
    value.format === "onnx" || value.format === "tflite" ? value.format : wrong("format");
  const inputs = tensors(value.inputs) ?? wrong("inputs");
  const outputs = tensors(value.outputs) ?? wrong("outputs");
  if (!inputs.some((each) => each.role === "frame")) wrong("inputs: no frame");
  const sr = outputs.find((each) => each.role === "sr") ?? wrong("outputs: no sr");
  const blocks = scale ** 2 * (colour === "rgb" ? 3 : 1);
  const taken = format === "tflite" ? [1, height, width, blocks] : [1, blocks, height, width];
  for (const input of inputs) {
    if (input.role === "previous_sr") {
      if (input.shape.some((side, axis) => (side ?? taken[axis]) !== taken[axis])) wrong(input.role);
      if (input.dtype !== sr.dtype || input.scale !== sr.scale) wrong(input.role);
      if (input.zeroPoint !== sr.zeroPoint) wrong(input.role);
    }
    if (!input.role.startsWith("state_in:")) continue;
    const made = outputs.find((each) => each.role === input.role.replace("in", "out"));
    if (made?.dtype !== input.dtype || made.scale !== input.scale) wrong(input.role);
    if (made?.zeroPoint !== input.zeroPoint) wrong(input.role);
  }
  const file = text_("file");
  if (/[\\/]/.test(file) || file.startsWith(".")) wrong("file");
  const digest = text_("sha256");
  if (!/^[0-9a-f]{64}$/.test(digest)) wrong("sha256");
  return {
    net: text_("net"),
    scale,
    colour,
    precision: value.precision === "int8" ? "int8" : "float",
    recurrent: inputs.length > 1,
    format,
    width,
    height,
    inputs,
    outputs,
    file,
    bytes: integer(value.bytes, 1, MAX_NET_BYTES) ?? wrong("bytes"),
    sha256: digest,
    params: integer(value.params, 0, 2 ** 40) ?? null,
    ops: counts(value.ops),
    psnrYDb: quality(value.psnr_y_db, value.precision === "int8" ? "int8" : "8bit"),
    source: string(value.source) ?? null,
  };
}

/** Return 10⁹ multiply-accumulates a frame: every weight acts once on every LR pixel. */
export function gmacOf(card: Card): number | null {
  return card.params === null ? null : (card.params * card.width * card.height) / 1e9;
}

/** Return the elements of a tensor at the card's size. */
export function shapeOf(spec: TensorSpec, card: Card): number[] {
  const channelsLast = card.format === "tflite";
  const factor = spec.role === "sr" ? card.scale : 1;
  const sides = [card.height * factor, card.width * factor];
  const whole = channelsLast ? [1, ...sides, 1] : [1, 1, ...sides];
  return spec.shape.map((side, axis) => side ?? whole[axis] ?? 1);
}

function tensors(value: unknown): TensorSpec[] | undefined {
  if (!Array.isArray(value) || value.length < 1 || value.length > 64) return undefined;
  const specs = value.map(tensor);
  return specs.every((spec) => spec !== undefined) ? specs : undefined;
}

function tensor(value: unknown): TensorSpec | undefined {
  const spec = object(value);
  const name = string(spec?.name);
  const role = string(spec?.role);
  const shape = spec?.shape;
  const dtype = spec?.dtype;
  if (spec === undefined || name === undefined || role === undefined || !ROLE.test(role))
    return undefined;
  if (dtype !== "float32" && dtype !== "int8" && dtype !== "uint8") return undefined;
  if (!Array.isArray(shape) || shape.length !== 4) return undefined;
  const sides = shape.map((side) => (side === null ? null : integer(side, 1, MAX_SIDE * 16)));
  if (sides.includes(undefined)) return undefined;
  const scale = typeof spec.scale === "number" && spec.scale > 0 ? spec.scale : null;
  if (dtype !== "float32" && scale === null) return undefined;
  const zeroPoint = integer(spec.zero_point, -128, 255) ?? null;
  return { name, role, shape: sides as (number | null)[], dtype, scale, zeroPoint };
}

function counts(value: unknown): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [name, count] of Object.entries(object(value) ?? {})) {
    if (typeof count === "number") found[name] = count;
  }
  return found;
}

/** Return dB by test set, of the form that this file has. */
function quality(value: unknown, form: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [set, row] of Object.entries(object(value) ?? {})) {
    const number = typeof row === "number" ? row : object(row)?.[form];
    if (typeof number === "number") found[set] = number;
  }
  return found;
}

function object(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : undefined;
}

function string(value: unknown): string | undefined {
  return typeof value === "string" && value.length > 0 && value.length <= 500 ? value : undefined;
}

function integer(value: unknown, least: number, most: number): number | undefined {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most
    ? (value as number)
    : undefined;
}
