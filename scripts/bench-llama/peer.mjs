// llama.cpp's half of bench-llama.sh, through node-llama-cpp: one line of JSON.
//
//   node peer.mjs MODEL.gguf THREADS PROMPT CONTEXT GENERATION [first]
//
// The work is that of mlx benchmark: the time to the first token of a prompt, decode
// steps after a single token, both after CONTEXT tokens; greedy, with the same ids. With
// "first" it ends after the first token of a prompt of 16.
import {existsSync, readFileSync} from "node:fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [path, ...numbers] = process.argv.slice(2, 7);
const [threads, prompt, context, generation] = numbers.map(Number);
const first = process.argv[7] === "first";
const ids = (n) => Array.from({length: n}, (_, i) => 300 + ((i % 512) * 7919) % 1500);
const positions = Math.max(prompt, context) + generation + 64;

const llama = await getLlama({gpu: false, maxThreads: threads, build: "never", logLevel: LlamaLogLevel.error});
const start = performance.now();
const model = await llama.loadModel({modelPath: path});
const ctx = await model.createContext({contextSize: positions, threads, batchSize: 512, flashAttention: true});
const loaded = performance.now();

// generate gives the seconds to the first token and of the steps after it.
async function generate(n, steps) {
  const seq = ctx.getSequence();
  await seq.clearHistory();
  const begin = performance.now();
  let one = 0, last = 0, count = 0;
  for await (const _ of seq.evaluate(ids(n), {temperature: 0, evaluationPriority: 5, yieldEogToken: true})) {
    last = performance.now();
    if (++count === 1) one = last;
    if (count > steps) break;
  }
  seq.dispose();
  if (count !== steps + 1) throw new Error(`the generation ended after ${count} tokens of ${steps + 1}`);
  return {prefill: (one - begin) / 1e3, decode: (last - one) / 1e3};
}

await generate(16, 0);
const firstToken = performance.now();
const out = {load_s: (loaded - start) / 1e3, first_token_s: (firstToken - start) / 1e3};
if (!first) {
  await generate(1, 8); // warms up what the first prompt did not
  const a = await generate(prompt, 0);
  const b = await generate(1, generation);
  out.prefill_tps = prompt / a.prefill;
  out.decode_tps = generation / b.decode;
  if (context > 0) {
    const c = await generate(context, generation);
    out.long_prefill_tps = context / c.prefill;
    out.long_decode_tps = generation / c.decode;
  }
}
const status = existsSync("/proc/self/status") ? readFileSync("/proc/self/status", "utf8") : "";
const peak = /VmHWM:\s+(\d+) kB/.exec(status);
out.resident = peak ? Number(peak[1]) * 1024 : process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify(out));
process.exit(0); // llama.cpp's threads would be waited for
