// The rounds of bench-llama.sh: runs mlx and llama.cpp in turn and prints Markdown.
//
//   node compare.mjs '{"mlx": PROGRAM, "peer": PROGRAM, "libraries": DIR, "model": DIR, "gguf": FILE,
//     "name": TEXT, "threads": N, "rounds": N, "prompt": N, "context": N, "generation": N, "json": FILE or ""}'
import {spawnSync} from "node:child_process";
import {appendFileSync} from "node:fs";

const o = JSON.parse(process.argv[2]);
const ids = (n) => Array.from({length: n}, (_, i) => 300 + ((i % 512) * 7919) % 1500);

// run gives a program's JSON and the seconds of the whole process.
function run(program, args) {
  const start = performance.now();
  const r = spawnSync(program, args.map(String), {encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 28});
  const seconds = (performance.now() - start) / 1e3;
  if (r.error) throw r.error;
  if (r.status !== 0) throw new Error(`${program} ended with status ${r.status ?? r.signal}:\n${r.stderr}`);
  return {...JSON.parse(r.stdout.trim().split("\n").at(-1)), process_s: seconds};
}

let machine;
function mlx() {
  const first = run(o.mlx, ["generate", "--model", o.model, "--threads", o.threads, "--prompt-tokens", ids(16).join(","), "--max-tokens", 1, "--ignore-eos", "--json"]);
  const r = run(o.mlx, ["benchmark", "--json", "--model", o.model, "--threads", o.threads, "--num-trials", 1, "--batch-size", 1, "--limits=" + o.limits,
    "--prompt-ids", ids(512).join(","), "--prompt-tokens", o.prompt, "--generation-tokens", o.generation, "--context", o.context]);
  machine = r.machine;
  return {
    prefill: r.prefill.tps.median, decode: r.decode.tps.median, long_prefill: r.long?.prefill.tps.median, long: r.long?.tps.median,
    load: r.load.first_token_s, process: first.process_s, resident: r.memory.resident,
    read: r.limits?.read_gbps.median, of_limit: r.decode.of_limit, of_fma: r.prefill.of_limit,
  };
}

function llama() {
  const args = [o.libraries, o.gguf, o.threads, o.prompt, o.context, o.generation];
  const first = run(o.peer, [...args, "first"]);
  const r = run(o.peer, args);
  return {
    prefill: r.prefill_tps, decode: r.decode_tps, long_prefill: r.long_prefill_tps, long: r.long_decode_tps,
    load: r.first_token_s, process: first.process_s, resident: r.resident,
  };
}

const median = (v) => {
  const s = [...v].sort((a, b) => a - b);
  return (s[(s.length - 1) >> 1] + s[s.length >> 1]) / 2;
};
const digits = (x) => x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
const range = (v) => `${digits(median(v))} (${digits(Math.min(...v))}-${digits(Math.max(...v))})`;

const ours = [], theirs = [];
for (let round = 0; round < o.rounds; round++) {
  const order = [[ours, mlx], [theirs, llama]];
  if (round % 2) order.reverse(); // whoever is second finds a warmer machine
  for (const [list, f] of order) list.push(f());
  const a = ours[round], b = theirs[round];
  console.error(`round ${round + 1} of ${o.rounds}: prefill ${digits(a.prefill)} and ${digits(b.prefill)}, decode ${digits(a.decode)} and ${digits(b.decode)}`);
  if (o.json) appendFileSync(o.json, JSON.stringify({name: o.name, threads: o.threads, round: round + 1, mlx: a, llama: b, machine}) + "\n");
}

const rows = [
  [`prefill ${o.prompt}, tokens/s`, "prefill", 1],
  ["decode at an empty context, tokens/s", "decode", 1],
  [`prefill ${o.context}, tokens/s`, "long_prefill", 1],
  [`decode after ${o.context} tokens, tokens/s`, "long", 1],
  ["load to first token, s", "load", 1],
  ["the whole process to first token, s", "process", 1],
  ["peak memory resident, MB", "resident", 1e6],
].filter(([, key]) => ours[0][key] !== undefined);
console.log(`\n${o.name}, ${o.threads} thread${o.threads > 1 ? "s" : ""}, ${o.rounds} rounds; ${machine.cpu || "unknown CPU"}, simd ${machine.simd}, ${machine.go}, commit ${machine.commit || "unknown"}${machine.modified ? " and changes" : ""}\n`);
console.log("| median (range) | mlx | llama.cpp | mlx / llama.cpp, by medians (by rounds) |\n| --- | --- | --- | --- |");
for (const [name, key, unit] of rows) {
  const a = ours.map((x) => x[key] / unit), b = theirs.map((x) => x[key] / unit);
  const ratios = a.map((x, i) => x / b[i]);
  console.log(`| ${name} | ${range(a)} | ${range(b)} | ${(median(a) / median(b)).toFixed(2)} (${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}) |`);
}
if (o.limits) {
  const percent = (key) => range(ours.map((x) => 100 * x[key]));
  console.log(`\nmlx against the machine: decode reads ${percent("of_limit")} % of the ${range(ours.map((x) => x.read))} GB/s that ${o.threads > 1 ? "these threads" : "this thread"} can read, prefill does ${percent("of_fma")} % of the float32 multiply-adds.`);
}
