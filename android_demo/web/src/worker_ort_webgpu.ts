import * as ort from "onnxruntime-web/jspi";

import { opener } from "./ort.js";
import { serve } from "./serve.js";

serve(opener(ort, "webgpu", "ort-wasm-simd-threaded.jspi"));
