import * as ort from "onnxruntime-web/wasm";

import { opener } from "./ort.js";
import { serve } from "./serve.js";

serve(opener(ort, "wasm", "ort-wasm-simd-threaded"));
