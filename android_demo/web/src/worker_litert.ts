import { CompiledModel, Tensor, loadAndCompile, loadLiteRt } from "@litertjs/core";

import { type Card, shapeOf } from "./card.js";
import type { Engine, Opener, Values } from "./engine.js";
import { INT8_IO, PlainError } from "./errors.js";
import { serve } from "./serve.js";

declare const LITERT_VERSION: string;

let warmed = false;

const warm: Opener["warm"] = async ({ way, runtime }) => {
  if (warmed) return;
  // Its loader would look for the binary beside this worker.
  (self as { Module?: object }).Module = { locateFile: (name: string) => runtime + name };
  await loadLiteRt(runtime, { jspi: way === "litert-webgpu", threads: false });
  warmed = true;
};

const open: Opener["open"] = async ({ card, file, way }) => {
  if ([...card.inputs, ...card.outputs].some((spec) => spec.dtype === "int8"))
    throw new PlainError(INT8_IO);
  const accelerator = way === "litert-webgpu" ? "webgpu" : "wasm";
  const model = await loadAndCompile(new Uint8Array(file), {
    accelerator,
    gpuOptions: { precision: "fp32" }, // by default half precision, which is 1 LSB off
  });
  const run: Engine["run"] = (inputs) => runOnce(model, card, inputs);
  return { runtime: "litert.js", version: LITERT_VERSION, threads: 1, run };
};

async function runOnce(
  model: CompiledModel,
  card: Card,
  inputs: ReadonlyMap<string, Values>,
): Promise<ReadonlyMap<string, Values>> {
  const given: Tensor[] = [];
  let made: Tensor[] = [];
  try {
    const details = model.getInputDetails();
    for (const [index, spec] of card.inputs.entries()) {
      const shape = [...(details[index]?.shape ?? shapeOf(spec, card))];
      given.push(new Tensor(inputs.get(spec.name) as Float32Array, shape));
    }
    made = await model.run(given);
    const outputs = new Map<string, Values>();
    for (const [index, spec] of card.outputs.entries())
      outputs.set(spec.name, (await made[index]!.data()).slice() as Values);
    return outputs;
  } finally {
    for (const tensor of [...given, ...made]) tensor.delete();
  }
}

serve({ open, warm });
