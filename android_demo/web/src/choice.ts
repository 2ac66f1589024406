/** Which runtime a network gets, and why: a choice that is shown and can be overruled. */

import type { Card } from "./card.js";
import type { Way } from "./protocol.js";

export interface Machine {
  readonly cores: number;
  readonly memoryGib: number | null;
  readonly isolated: boolean;
  /** WebAssembly that can wait for promises, which WebGPU needs here. */
  readonly jspi: boolean;
  readonly gpu: { readonly name: string; readonly software: boolean } | null;
  readonly platform: string;
  readonly model: string | null;
  readonly android: string | null;
  readonly browser: string;
}

export const WAY_NAMES: Readonly<Record<Way, string>> = {
  "ort-wasm": "onnxruntime-web · wasm",
  "ort-webgpu": "onnxruntime-web · WebGPU",
  "litert-wasm": "LiteRT.js · wasm",
  "litert-webgpu": "LiteRT.js · WebGPU",
};

export const WAYS = Object.keys(WAY_NAMES) as Way[];

export interface Choice {
  readonly way: Way;
  readonly reason: string;
}

/** Say why a network with these files cannot run this way here; null when it can. */
export function obstacle(way: Way, cards: readonly Card[], machine: Machine): string | null {
  const format = formatOf(way);
  const card = cards.find((each) => each.format === format);
  if (!card) return `there is no .${format} of this network`;
  if (format === "tflite" && [...card.inputs, ...card.outputs].some((io) => io.dtype === "int8"))
    return "LiteRT.js takes no int8 inputs: export with --io float, or use .onnx";
  if (!way.endsWith("webgpu")) return null;
  if (machine.gpu === null) return "this browser has no WebGPU";
  return machine.jspi ? null : "WebGPU needs JSPI, which this browser lacks (Chrome 137 has it)";
}

/** Return the ways to try in turn, the best first, each with its reason. */
export function choices(cards: readonly Card[], machine: Machine): Choice[] {
  const possible = WAYS.filter((way) => obstacle(way, cards, machine) === null);
  const hasGpu = machine.gpu !== null && !machine.gpu.software;
  const int8 = cards.some((card) => card.precision === "int8");
  const order: Way[] =
    hasGpu && !int8
      ? ["ort-webgpu", "litert-webgpu", "ort-wasm", "litert-wasm"]
      : ["ort-wasm", "litert-wasm", "ort-webgpu", "litert-webgpu"];
  const why = (way: Way): string => {
    if (way.endsWith("webgpu")) return hasGpu ? "float on the GPU" : "nothing else runs it";
    if (int8) return "int8 convolutions run on the processor; WebGPU has none";
    if (machine.gpu === null) return "this browser has no WebGPU";
    if (machine.gpu.software) return "WebGPU is only emulated here, by the processor";
    return obstacle("ort-webgpu", cards, machine) ?? "WebGPU did not work";
  };
  return order
    .filter((way) => possible.includes(way))
    .map((way) => ({ way, reason: why(way) }));
}

export function formatOf(way: Way): "onnx" | "tflite" {
  return way.startsWith("ort") ? "onnx" : "tflite";
}

/** Threads worth starting: half the cores, none beside the page's own where there are few. */
export function threadsFor({ isolated, cores }: Pick<Machine, "isolated" | "cores">): number {
  return isolated && cores >= 4 ? Math.min(4, cores >> 1) : 1;
}

/** Return what is known of the processor at once. */
export function processor(): Pick<Machine, "isolated" | "cores"> {
  return { isolated: globalThis.crossOriginIsolated, cores: navigator.hardwareConcurrency || 1 };
}

/** Return what the browser tells of this device. */
export async function inspect(): Promise<Machine> {
  const agent = navigator.userAgent;
  const hints = (navigator as { userAgentData?: AgentData }).userAgentData;
  const details = await hints?.getHighEntropyValues(["model", "platformVersion"]).catch(() => null);
  return {
    ...processor(),
    memoryGib: (navigator as { deviceMemory?: number }).deviceMemory ?? null,
    jspi: "Suspending" in WebAssembly,
    gpu: await adapter(),
    platform: hints?.platform || /\(([^;)]+)/.exec(agent)?.[1] || "unknown",
    model: details?.model || /; ([^;)]+?)(?: Build\/[^)]*)?\) AppleWebKit/.exec(agent)?.[1] || null,
    android: /Android (\d[\d.]*)/.exec(agent)?.[1] ?? null,
    browser: /(?:Chrome|Firefox|Version)\/[\d.]+/.exec(agent)?.[0] ?? "unknown",
  };
}

interface AgentData {
  readonly platform: string;
  getHighEntropyValues(names: string[]): Promise<{ model?: string; platformVersion?: string }>;
}

async function adapter(): Promise<Machine["gpu"]> {
  try {
    const found = await navigator.gpu?.requestAdapter();
    if (!found) return null;
    const { vendor, architecture, description } = found.info;
    const name = [vendor, architecture, description].filter(Boolean).join(" ") || "unnamed";
    const software = found.info.isFallbackAdapter || /swiftshader|llvmpipe|basic render/i.test(name);
    return { name, software };
  } catch {
    return null;
  }
}
