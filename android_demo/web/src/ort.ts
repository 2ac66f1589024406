/** onnxruntime-web as an engine; the worker's entry says which of its builds. */

import type * as Ort from "onnxruntime-web";

import { shapeOf } from "./card.js";
import type { Engine, Opener, Values } from "./engine.js";

declare const ORT_VERSION: string;

/** `y = x`, the smallest network there is: opening it starts the runtime. */
const IDENTITY = "CAg6NgoQCgF4EgF5IghJZGVudGl0eRIAWg8KAXgSCgoICAESBAoCCAFiDwoBeRIKCggIARIECgIIAUIECgAQEQ==";

/** Return what opens networks in this build, whose binary is `runtime/NAME.{mjs,wasm}`. */
export function opener(ort: typeof Ort, provider: "wasm" | "webgpu", name: string): Opener {
  let warmed = false;
  const warm: Opener["warm"] = async ({ runtime, threads }) => {
    if (warmed) return;
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { mjs: `${runtime}${name}.mjs`, wasm: `${runtime}${name}.wasm` };
    const file = Uint8Array.from(atob(IDENTITY), (character) => character.charCodeAt(0));
    await (await ort.InferenceSession.create(file, { executionProviders: [provider] })).release();
    warmed = true;
  };
  const open: Opener["open"] = async ({ card, file, threads }) => {
    const session = await ort.InferenceSession.create(file, {
      executionProviders: [provider],
      graphOptimizationLevel: "all",
    });
    const shapes = new Map(card.inputs.map((spec) => [spec.name, shapeOf(spec, card)]));
    const run: Engine["run"] = async (inputs) => {
      const feeds: Record<string, Ort.Tensor> = {};
      for (const [input, values] of inputs)
        feeds[input] = new ort.Tensor(values as Float32Array, shapes.get(input)!);
      const results = await session.run(feeds);
      return new Map(Object.entries(results).map(([output, { data }]) => [output, data as Values]));
    };
    return { runtime: "onnxruntime-web", version: ORT_VERSION, threads, run };
  };
  return { open, warm };
}
