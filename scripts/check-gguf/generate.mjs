// Reads lines of JSON {model, prompts, tokens}, and writes for each a line
// [{ids, out}, ...]: llama.cpp's token ids of each prompt, with those that it puts around,
// and the tokens that it generates greedily. It uses the npm package node-llama-cpp of
// the current directory.
import {pathToFileURL} from "node:url";
import path from "node:path";
import readline from "node:readline";

const {getLlama, LlamaLogLevel} = await import(pathToFileURL(path.resolve("node_modules/node-llama-cpp/dist/index.js")));
const llama = await getLlama({gpu: false, build: "never", maxThreads: 1, logLevel: LlamaLogLevel.error});

for await (const line of readline.createInterface({input: process.stdin})) {
  const job = JSON.parse(line);
  const model = await llama.loadModel({modelPath: job.model});
  const results = [];
  for (const prompt of job.prompts) {
    const context = await model.createContext({contextSize: 512, threads: 1});
    const ids = model.tokenize(prompt, true);
    if (model.tokens.shouldPrependBosToken)
      ids.unshift(model.tokens.bos);
    const out = [];
    for await (const token of context.getSequence().evaluate(ids, {temperature: 0})) {
      if (model.isEogToken(token) || out.push(token) >= job.tokens)
        break;
    }
    results.push({ids, out});
    await context.dispose();
  }
  console.log(JSON.stringify(results));
  await model.dispose();
}
process.exit(0);
