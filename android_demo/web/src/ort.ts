/** onnxruntime-web as an engine; the worker's entry says which of its builds. */

import type * as Ort from "onnxruntime-web";

import { shapeOf } from "./card.js";
import type { Engine, OpenEngine, Values } from "./engine.js";

declare const ORT_VERSION: string;

/** Return what opens networks in this build, whose binary is `runtime/NAME.{mjs,wasm}`. */
export function opener(ort: typeof Ort, provider: "wasm" | "webgpu", name: string): OpenEngine {
  return async ({ card, file, threads, runtime }) => {
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { mjs: `${runtime}${name}.mjs`, wasm: `${runtime}${name}.wasm` };
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
}
