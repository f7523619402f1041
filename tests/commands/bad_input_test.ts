// Unusable input: exit code 2, a sentence or two on stderr that name the culprit, no stack, and nothing left in --out.

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { existsSync, statSync } from "node:fs";
import { readModel } from "../../shared/onnx/read_model.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { copyFolder, fixture, fixtureTest, runTask, startTask } from "./run_task.ts";

const model = fixture("llama-genai"), untied = fixture("llama-untied-genai"), gpt2 = fixture("gpt2-optimum");
const data = `${model}/data.jsonl`;

interface Case {
  task: string;
  /** `--out` is added where it is not among them. */
  args: (string | number)[];
  /** What the message has to name. */
  names: RegExp;
}

/** A line of progress; not part of what is said about the input. */
const progress = /^[a-z ]+: [\d,]+\/[\d,]+ /;

/** Runs the cases two at a time and holds each to the promises; `folder` is the place for outputs. */
async function refuse(folder: string, cases: Record<string, Case>, cache = `${folder}/cache`): Promise<void> {
  const left = Object.entries(cases);
  const serve = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      const [what, { task, args, names }] = next;
      const asked = args.includes("--out"), out = `${folder}/out-${crypto.randomUUID()}`;
      const taken = asked || task === "generate" || task === "evaluate" ? args : [...args, "--out", out];
      const { code, stderr } = await runTask(task, taken, { cache });
      const said = `${what}: exit ${code}, ${stderr}`;
      assertEquals(code, 2, said);
      assertMatch(stderr, names, said);
      assertNotMatch(stderr, /^\s+at |\bstack\b/m, said);
      const lines = stderr.split("\n").filter((line) => line.trim() !== "" && !progress.test(line));
      assert(lines.length >= 1 && lines.length <= 4, said);
      const left = existsSync(out) ? [...Deno.readDirSync(out)].map(({ name }) => name) : [];
      assertEquals(left, [], `${what}: something was written to --out`);
    }
  };
  await Promise.all([serve(), serve()]);
}

async function truncated(path: string, length: number): Promise<void> {
  await Deno.truncate(path, length);
}

fixtureTest("feedback that cannot be used is refused in words", async (folder) => {
  const [row] = Deno.readTextFileSync(data).split("\n") as [string];
  const cases: Record<string, Case> = {};
  const file = (what: string, text: string | Uint8Array<ArrayBuffer>, names: RegExp) => {
    const path = `${folder}/${Object.keys(cases).length}.jsonl`;
    if (typeof text === "string") Deno.writeTextFileSync(path, text);
    else Deno.writeFileSync(path, text);
    cases[what] = { task: "train", args: ["--model", model, "--data", path], names };
  };
  file("not JSON at line 3", `${row}\n${row}\n{oops\n`, /2?\.jsonl:3\b/);
  file("no label at line 2", `${row}\n{"prompt":"a","completion":"b"}\n`, /\.jsonl:2\b.*label/);
  file(
    "a label that is none",
    `${row}\n{"prompt":"a","completion":"b","label":"maybe"}\n`,
    /\.jsonl:2\b.*label.*maybe/,
  );
  file("an empty file", "", /\.jsonl\b.*empty/);
  file("bytes that are no text", crypto.getRandomValues(new Uint8Array(3000)), /\.jsonl/);
  file("a number for a row", `${row}\n17\n`, /\.jsonl:2\b/);
  file(
    "only empty completions",
    `{"prompt":"a","completion":"","label":true}\n`,
    /\.jsonl has no row with anything in its completion/,
  );
  cases["a file that is not there"] = {
    task: "train",
    args: ["--model", model, "--data", `${folder}/none.jsonl`],
    names: /none\.jsonl/,
  };
  cases["a folder for a file"] = {
    task: "train",
    args: ["--model", model, "--data", folder],
    names: new RegExp(folder),
  };
  cases["no data"] = { task: "train", args: ["--model", model], names: /--data/ };
  cases["score without its data"] = { task: "score", args: ["--model", model], names: /--data/ };
  cases["score of no file"] = { task: "score", args: ["--model", model, "--data", "none.jsonl"], names: /none\.jsonl/ };
  cases["evaluate without its data"] = { task: "evaluate", args: ["--model", model], names: /--data/ };
  cases["evaluate of no file"] = {
    task: "evaluate",
    args: ["--model", model, "--data", "none.jsonl"],
    names: /none\.jsonl/,
  };
  cases["prompts longer than allowed"] = {
    task: "train",
    args: ["--model", model, "--data", data, "--max-length", 3],
    names: /no row is left.*--max-length 3/s,
  };
  await refuse(folder, cases);
});

fixtureTest("a model that cannot be used is refused in words, by every command", async (folder) => {
  const cases: Record<string, Case> = {};
  const broken = async (what: string, source: string, breakIt: (copy: string) => Promise<void>, names: RegExp) => {
    const copy = `${folder}/model-${Object.keys(cases).length}`;
    await copyFolder(source, copy);
    await breakIt(copy);
    cases[what] = { task: "train", args: ["--model", copy, "--data", `${source}/data.jsonl`], names };
  };
  await broken(
    "no tokenizer",
    model,
    (copy) => Deno.remove(`${copy}/tokenizer.json`),
    /model-0 has no tokenizer\.json/,
  );
  await broken("no config", model, (copy) => Deno.remove(`${copy}/config.json`), /model-1 has no config\.json/);
  await broken("config is no JSON", model, (copy) => Deno.writeTextFile(`${copy}/config.json`, "{"), /config\.json/);
  await broken(
    "tokenizer is no JSON",
    model,
    (copy) => Deno.writeTextFile(`${copy}/tokenizer.json`, "{"),
    /tokenizer\.json/,
  );
  await broken("neither ONNX file nor safetensors", model, async (copy) => {
    await Deno.remove(`${copy}/onnx`, { recursive: true });
    await Deno.remove(`${copy}/model.safetensors`);
  }, /no onnx\/model\.onnx and no model\.safetensors/);
  await broken("a checkpoint of another kind", gpt2, (copy) => {
    return Deno.remove(`${copy}/onnx`, { recursive: true });
  }, /model_type "gpt2" is not one/);
  for (const length of [200000, 400000, 12, 0]) {
    await broken(
      `ONNX file cut to ${length}`,
      model,
      (copy) => truncated(`${copy}/onnx/model.onnx`, length),
      /model\.onnx/,
    );
  }
  const noise = Uint8Array.from({ length: 50000 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 23);
  await broken("ONNX file is noise", model, (copy) => Deno.writeFile(`${copy}/onnx/model.onnx`, noise), /model\.onnx/);
  await broken(
    "external data missing",
    untied,
    (copy) => Deno.remove(`${copy}/onnx/model.onnx_data`),
    /model\.onnx_data/,
  );
  await broken(
    "external data short",
    untied,
    (copy) => truncated(`${copy}/onnx/model.onnx_data`, 5000),
    /model\.onnx_data/,
  );
  await broken("a merged export", model, async (copy) => {
    const graph = readModel(`${copy}/onnx/model.onnx`, { inlineLimit: Infinity });
    graph.inputs.push({ name: "use_cache_branch", dataType: "bool", shape: [1] });
    await Deno.remove(`${copy}/onnx`, { recursive: true });
    await Deno.mkdir(`${copy}/onnx`);
    await Deno.writeFile(`${copy}/onnx/decoder_model_merged.onnx`, writeModel(graph));
  }, /decoder_model_merged\.onnx: a merged export.* as onnx\/model\.onnx\.$/m);
  const merged = cases["a merged export"]!;
  cases["score: a merged export"] = { ...merged, task: "score" };
  cases["generate: a merged export"] = {
    ...merged,
    task: "generate",
    args: [...merged.args.slice(0, 2), "--prompt", "hi"],
  };
  const cut = cases["ONNX file cut to 200000"]!.args, short = cases["external data short"]!.args;
  for (const task of ["score", "evaluate"]) {
    cases[`${task}: cut`] = { task, args: cut, names: /model\.onnx/ };
    cases[`${task}: short`] = { task, args: short, names: /model\.onnx_data/ };
  }
  for (
    const [what, { args }] of [["cut", cases["ONNX file cut to 200000"]!], [
      "short",
      cases["external data short"]!,
    ]] as const
  ) {
    cases[`generate: ${what}`] = {
      task: "generate",
      args: [...args.slice(0, 2), "--prompt", "hi"],
      names: /model\.onnx/,
    };
  }
  cases["no such model"] = { task: "train", args: ["--model", `${folder}/nowhere`, "--data", data], names: /nowhere/ };
  cases["no such precision"] = {
    task: "score",
    args: ["--model", untied, "--data", data, "--dtype", "q2"],
    names: /q2.*model\.onnx/,
  };
  await refuse(folder, cases);
});

fixtureTest("arguments and adapters that do not fit are refused in words", async (folder) => {
  const train = (...args: (string | number)[]) => ["--model", model, "--data", data, ...args];
  const bad = (names: RegExp, ...args: (string | number)[]): Case => ({ task: "train", args: train(...args), names });
  const adapter = `${model}/adapter`;
  const damaged = `${folder}/damaged`;
  await copyFolder(adapter, damaged);
  await truncated(`${damaged}/adapter_model.safetensors`, 3000);
  await refuse(folder, {
    "negative beta": bad(/--beta/, "--beta", -1),
    "a word for a number": bad(/--epochs/, "--epochs", "many"),
    "half a batch": bad(/--batch-size/, "--batch-size", 1.5),
    "no such schedule": bad(/--schedule/, "--schedule", "zigzag"),
    "no such pairing": bad(/--pairing/, "--pairing", "twins"),
    "no such device": bad(/--device/, "--device", "abacus"),
    "no such objective": bad(/--objective/, "--objective", "luck"),
    "no such dtype": bad(/--dtype/, "--dtype", "fp3"),
    "all held out": bad(/--held-out/, "--held-out", 1),
    "an unknown flag": bad(/--bta/, "--bta", 1),
    "one argument too many": bad(/argument/, "extra"),
    "more rank than a layer has": bad(
      /^--lora-rank 33 is more than .*k_proj can have, .* 64 to 32: .* 32/m,
      "--lora-rank",
      33,
    ),
    "generate with what scoring takes": {
      task: "generate",
      args: ["--model", model, "--prompt", "hi", "--workers", 2],
      names: /unknown option '--workers'/,
    },
    "an unknown module": bad(/warp_drive/, "--target-modules", "q_proj,warp_drive"),
    "no module": bad(/--target-modules/, "--target-modules", ","),
    "no such adapter": bad(/nowhere/, "--init-adapter", `${folder}/nowhere`),
    "an adapter that is cut short": bad(/damaged\/adapter_model\.safetensors/, "--init-adapter", damaged),
    "an adapter for every weight": bad(/--full.*--init-adapter/, "--full", "--init-adapter", adapter),
    "an adapter of another model": {
      task: "train",
      args: ["--model", gpt2, "--data", `${gpt2}/data.jsonl`, "--init-adapter", adapter],
      names: /adapter is of another model/,
    },
    "score: an adapter of another model": {
      task: "score",
      args: ["--model", gpt2, "--data", `${gpt2}/data.jsonl`, "--adapter", adapter],
      names: /adapter is of another model/,
    },
    "evaluate: an adapter of another model": {
      task: "evaluate",
      args: ["--model", gpt2, "--data", `${gpt2}/data.jsonl`, "--adapter", adapter],
      names: /adapter is of another model/,
    },
    "generate: an adapter of another model": {
      task: "generate",
      args: ["--model", gpt2, "--prompt", "hi", "--adapter", adapter],
      names: /adapter is of another model/,
    },
    "generate without a prompt": { task: "generate", args: ["--model", model], names: /--prompt/ },
    "generate with half a worker": {
      task: "generate",
      args: ["--model", model, "--prompt", "hi", "--max-new-tokens", "some"],
      names: /--max-new-tokens/,
    },
    "score with no workers": { task: "score", args: train("--workers", 0), names: /--workers/ },
    "score with no tokens": {
      task: "score",
      args: train("--tokens-per-micro-batch", -5),
      names: /--tokens-per-micro-batch/,
    },
    "pretrain without a step": { task: "pretrain", args: ["--steps", 0], names: /--steps/ },
  });
});

fixtureTest("an output that cannot be written is refused in words, and a full disk too", async (folder) => {
  const file = `${folder}/afile`, train = ["--model", model, "--data", data, "--max-steps", 1, "--out"];
  await Deno.writeTextFile(file, "x");
  await refuse(folder, {
    "--out is a file": { task: "train", args: [...train, file], names: /afile/ },
    "--out is below a file": { task: "train", args: [...train, `${file}/run`], names: /afile\/run/ },
    "--out is where nobody writes": { task: "train", args: [...train, "/proc/prospect"], names: /\/proc\/prospect/ },
  });
  await refuse(folder, {
    "score: --out is a folder": {
      task: "score",
      args: ["--model", model, "--data", data, "--out", folder],
      names: new RegExp(folder),
    },
    "score: --out is below a file": {
      task: "score",
      args: ["--model", model, "--data", data, "--out", `${file}/s`],
      names: /afile: there is a file of this name/,
    },
  }, `${folder}/untouched`);
  assert(!existsSync(`${folder}/untouched`), "rows were scored before --out was looked at");
  assertEquals(await Deno.readTextFile(file), "x");

  const small = `${folder}/small`;
  await Deno.mkdir(small);
  const mount = (...args: string[]) => new Deno.Command(args[0]!, { args: args.slice(1), stderr: "null" }).output();
  const mounted = await mount("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small).then(
    ({ success }) => success,
    () => false,
  );
  if (!mounted) return console.log("skipped the full disk: no small file system can be mounted here");
  try {
    await Deno.mkdir(`${small}/run`);
    await refuse(folder, {
      "no disk space": { task: "train", args: [...train, `${small}/run`], names: /small\/run\/.*disk is full/ },
    });
    assert(!existsSync(`${small}/run/adapter/adapter_model.safetensors`), "half an adapter is there");
    await Deno.writeFile(`${small}/ballast`, new Uint8Array(1 << 20)).catch(() => {});
    await refuse(folder, {
      "no disk space at all": { task: "train", args: [...train, `${small}/full`], names: /small\/full.*disk is full/ },
    });
  } finally {
    await mount("umount", small);
  }
});

fixtureTest("a reference cache that is damaged is refused by name, and an interrupted one goes on", async (folder) => {
  const out = `${folder}/scores.jsonl`, args = ["--model", model, "--data", data, "--out", out];
  const path = `${folder}/cache/reference.sqlite`;
  assertEquals((await runTask("score", args, { cache: `${folder}/cache` })).code, 0);
  const scores = Deno.readTextFileSync(out).replaceAll(',"cached":false', "");
  const whole = await Deno.readFile(path);
  assert(statSync(path).size > 4096);
  const damages: Record<string, Uint8Array<ArrayBuffer>> = {
    noise: crypto.getRandomValues(new Uint8Array(whole.length)),
    cut: whole.slice(0, whole.length - 4096 - 100),
    overwritten: Uint8Array.from(whole, (byte, i) => i < 4096 ? byte : 0xa5),
  };
  for (const [name, bytes] of Object.entries(damages)) {
    const cache = `${folder}/${name}`;
    await Deno.mkdir(cache);
    await Deno.writeFile(`${cache}/reference.sqlite`, bytes);
    const names = new RegExp(`${name}/reference\\.sqlite.*delete`);
    await refuse(folder, {
      [`train: ${name}`]: { task: "train", args: args.slice(0, 4), names },
      [`score: ${name}`]: { task: "score", args: args.slice(0, 4), names },
    }, cache);
  }
  await Deno.mkdir(`${folder}/place`);
  await Deno.writeTextFile(`${folder}/place/file`, "");
  await refuse(folder, {
    "a cache below a file": { task: "train", args: args.slice(0, 4), names: /place\/file\/reference\.sqlite/ },
  }, `${folder}/place/file`);

  const cache = `${folder}/interrupted`;
  for (let kill = 0; kill < 2; kill++) {
    const { process, ended } = startTask("score", args, { cache });
    await new Promise((resolve) => setTimeout(resolve, 150 + 500 * Math.random()));
    // It may have ended by then, which is as good.
    try {
      process.kill("SIGKILL");
    } catch (error) {
      assert(error instanceof TypeError || error instanceof Deno.errors.NotFound, `${error}`);
    }
    await ended;
  }
  assertEquals((await runTask("score", args, { cache })).code, 0);
  assertEquals(Deno.readTextFileSync(out).replaceAll(/,"cached":(?:true|false)/g, ""), scores);
});
