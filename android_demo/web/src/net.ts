/** A super-resolution network by its card: pixels in, pixels out, its state kept between. */

import { type Card, type Pixels, type TensorSpec, shapeOf } from "./card.js";
import type { Engine, Values } from "./engine.js";
import { PlainError } from "./errors.js";
import { PreviousSr } from "./motion.js";

export class Net {
  private readonly state = new Map<string, Values>();
  private previous: Values | null = null;
  private readonly previousSr: PreviousSr | null;
  private readonly lengths: ReadonlyMap<string, number>;
  private readonly frame: TensorSpec;
  private readonly sr: TensorSpec;
  private readonly channels: number;

  constructor(
    readonly card: Card,
    private readonly engine: Engine,
  ) {
    const all = [...card.inputs, ...card.outputs];
    this.lengths = new Map(
      all.map((spec) => [spec.role, shapeOf(spec, card).reduce((a, b) => a * b, 1)]),
    );
    this.frame = card.inputs.find((spec) => spec.role === "frame")!;
    this.sr = card.outputs.find((spec) => spec.role === "sr")!;
    this.channels = card.colour === "rgb" ? 3 : 1;
    const { width, height, scale } = card;
    const { channels } = this;
    const layout = { width, height, scale, channels, planar: card.format === "onnx" };
    const taken = card.inputs.find((spec) => spec.role === "previous_sr");
    this.previousSr = taken
      ? new PreviousSr(layout, valuesOf(taken, this.lengths.get(taken.role)!))
      : null;
  }

  /** Forget the frames before. */
  reset(): void {
    this.state.clear();
    this.previous = null;
    this.previousSr?.reset();
  }

  /** Return the SR pixels of LR pixels, both interleaved (H, W, C) of 8 bits. */
  async run(pixels: Pixels): Promise<Pixels> {
    const expected = this.lengths.get("frame")!;
    if (pixels.length !== expected)
      throw new PlainError(`A frame has ${pixels.length} values; the network takes ${expected}.`);
    const inputs = this.inputs(pixels);
    const outputs = await this.engine.run(inputs);
    for (const spec of this.card.outputs) {
      const values = outputs.get(spec.name);
      if (!values || values.length !== this.lengths.get(spec.role))
        throw new PlainError(`The network's output ${spec.name} is not what its card says.`);
      if (spec.role.startsWith("state_out:")) this.state.set(spec.role.slice(10), values);
    }
    this.previous = inputs.get(this.frame.name)!;
    const sr = outputs.get(this.sr.name)!;
    this.previousSr?.keep(pixels, sr);
    return this.decode(sr);
  }

  private inputs(pixels: Pixels): ReadonlyMap<string, Values> {
    const inputs = new Map<string, Values>();
    const frame = this.encode(pixels);
    for (const spec of this.card.inputs) {
      if (spec.role === "frame") inputs.set(spec.name, frame);
      else if (spec.role === "previous_frame") inputs.set(spec.name, this.previous ?? frame);
      else if (spec.role === "previous_sr")
        inputs.set(spec.name, this.previousSr!.at(pixels, frame));
      else inputs.set(spec.name, this.state.get(spec.role.slice(9)) ?? this.zeros(spec));
    }
    return inputs;
  }

  private zeros(spec: TensorSpec): Values {
    return valuesOf(spec, this.lengths.get(spec.role)!).fill(spec.zeroPoint ?? 0);
  }

  private encode(pixels: Pixels): Values {
    const codes = valuesOf(this.frame, 256);
    for (let pixel = 0; pixel < 256; pixel++) codes[pixel] = codeOf(this.frame, pixel);
    const { channels } = this;
    const values = valuesOf(this.frame, pixels.length);
    const planar = this.card.format === "onnx" && channels > 1;
    const area = pixels.length / channels;
    for (let i = 0; i < pixels.length; i++) {
      const at = planar ? (i % channels) * area + Math.floor(i / channels) : i;
      values[at] = codes[pixels[i]!]!;
    }
    return values;
  }

  private decode(values: Values): Pixels {
    const pixels = new Uint8Array(values.length);
    const { channels } = this;
    const planar = this.card.format === "onnx" && channels > 1;
    const area = values.length / channels;
    const factor = 255 * (this.sr.scale ?? 1);
    const zero = this.sr.zeroPoint ?? 0;
    for (let i = 0; i < values.length; i++) {
      const at = planar ? (i % channels) * area + Math.floor(i / channels) : i;
      const value = (values[at]! - zero) * factor + 0.5;
      pixels[i] = value <= 0 ? 0 : value >= 255 ? 255 : value;
    }
    return pixels;
  }
}

function valuesOf(spec: TensorSpec, length: number): Values {
  if (spec.dtype === "float32") return new Float32Array(length);
  return spec.dtype === "int8" ? new Int8Array(length) : new Uint8Array(length);
}

function codeOf(spec: TensorSpec, pixel: number): number {
  if (spec.dtype === "float32") return pixel / 255;
  const [least, most] = spec.dtype === "int8" ? [-128, 127] : [0, 255];
  const code = Math.round(pixel / 255 / (spec.scale ?? 1)) + (spec.zeroPoint ?? 0);
  return Math.min(Math.max(code, least), most);
}
