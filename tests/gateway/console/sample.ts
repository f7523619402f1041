// A stand-in's state with something of everything, as a team has it after some weeks.

import { giveThumb } from "./stand_in_feedback.ts";
import { gate, newAdapter } from "./stand_in_registry.ts";
import { newRun, takeStep, tell } from "./stand_in_runs.ts";
import type { Answer, State } from "./stand_in_state.ts";

const minute = 60_000, day = 1440 * minute;

/** Nothing but the base and the alias. */
export function emptyState(): State {
  return {
    keyNeeded: false,
    keys: new Map([
      ["secret", { owner: null, scopes: ["admin"] }],
      ["annes", { owner: "ann", scopes: ["reviewer"] }],
      ["old", null],
    ]),
    trainerSilence: 2,
    adapters: [],
    promotions: [],
    aliases: new Map([["prospect", [{ model: "base", weight: 1 }]]]),
    answers: [],
    thumbs: [],
    history: [],
    runs: [],
    pace: 2,
    received: [],
  };
}

/** Nothing but answers that nobody has judged. */
export function waitingState(waiting: number): State {
  const state = sampleState(waiting);
  state.answers = state.answers.slice(0, waiting);
  return { ...state, thumbs: [], history: [] };
}

const exchanges: [question: string, answer: string][] = [
  [
    "How do I reset my password?",
    "Open Settings, choose Security, then “Reset password”. A link arrives by mail within a minute.",
  ],
  ["Can I get a refund after two weeks?", "No."],
  ["What is the capital of Norway?", "The capital of Norway is Oslo."],
  ["Does the export keep my tags?", "It does. Tags are a column of their own in the CSV, parted by semicolons."],
  ["Why was my card declined?", "I do not know. That is really not my problem, ask your bank."],
  [
    "Which plan has single sign-on?",
    "Single sign-on comes with the Team plan and above. <b>You</b> can try it for 14 days.",
  ],
  ["How many seats do we have left?", "You have three seats left out of twenty-five. Shall I invite someone?"],
  ["Is there an outage right now?", "There is none that I know of. The status page would show it first."],
];

/** The sample. @param waiting answers without a thumb */
export function sampleState(waiting = 8, now = Date.now()): State {
  const state = emptyState();
  state.adapters = [
    newAdapter("kind-1", "base", now - 9 * day, gate(0.71)),
    newAdapter("kind-2", "base:kind-1", now - 3 * 60 * minute, gate(0.79)),
    newAdapter(
      "flat-1",
      "base:kind-1",
      now - 2 * day,
      gate(0.52, {
        "auc-above-chance": "Held-out AUC is 0.52; its interval (0.46 to 0.57) includes 0.5.",
        "no-degeneration":
          "Probe answers repeat themselves: 41 % of their four-word pieces are new, the least allowed is 60 %.",
      }),
    ),
    newAdapter("terse", "base", now - 6 * day, gate(0.66)),
  ];
  state.promotions = [{
    at: now - 8 * day,
    kind: "promote",
    from: "base",
    to: "base:kind-1",
    reason: "Friendlier on the support questions, and nobody found it worse.",
    override: false,
    by: null,
  }];
  state.aliases.set("prospect", [{ model: "base", weight: 20 }, { model: "base:kind-1", weight: 80 }]);
  const judged = 34;
  state.answers = Array.from({ length: judged + waiting }, (_, index): Answer => {
    const [question, content] = exchanges[index % exchanges.length]!;
    const arm = index % 3 === 0 ? "base" : "base:kind-1", asked = index % 4 === 0 ? arm : "prospect";
    return {
      id: `chatcmpl-${index}`,
      created_at: now - (index + 1) * 7 * minute,
      source: "chat",
      model: asked,
      arm,
      alias: asked === "prospect" ? asked : null,
      prompt: [{ role: "system", content: "You answer questions of our customers." }, {
        role: "user",
        content: question,
      }],
      end_user: ["ada", "grace", "edsger"][index % 3]!,
      choices: [{ index: 0, content, finish_reason: "stop", tokens: 17 }],
    };
  });
  for (let index = judged + waiting - 1; index >= waiting; index--) {
    const answer = state.answers[index]!, bad = index % exchanges.length === 1 || index % exchanges.length === 4;
    giveThumb(state, {
      completion_id: answer.id,
      label: !bad,
      end_user: answer.end_user,
      updated_at: answer.created_at + minute,
      ...(bad ? { reason: "Rude, and no help at all.", tags: ["tone"] } : {}),
      ...(bad && index % 16 === 9 ? { correction: "Yes: within 30 days, in Settings under Billing." } : {}),
    });
  }
  const seconds = Math.floor(now / 1000);
  const running = newRun("ftjob-running", {
    status: "running",
    started_at: seconds - 45,
    suffix: "kind-3",
    model: "base:kind-2",
  });
  tell(running, "message", "Reading 412 rows: 247 desirable, 165 undesirable.");
  tell(running, "message", "Careful: 12 contradictions were left out.");
  tell(running, "message", "Reference log-probs: 389 from the cache, 23 scored.");
  for (let step = 0; step < 78; step++) takeStep(running);
  const done = newRun("ftjob-kind-2", {
    status: "succeeded",
    created_at: seconds - 3 * 3600,
    started_at: seconds - 3 * 3600,
    finished_at: seconds - 3 * 3600 + 214,
    suffix: "kind-2",
    model: "base:kind-1",
    fine_tuned_model: "base:kind-2",
    gate: gate(0.79),
    result_files: [
      "file-metrics.jsonl",
      "file-adapter_model.safetensors",
      "file-adapter_config.json",
      "file-report.html",
    ],
  });
  for (let step = 0; step < done.steps; step++) takeStep(done);
  tell(done, "message", "The adapter kind-2 is in the registry.");
  state.runs = [
    newRun("ftjob-waiting", { suffix: "support-only", data: null }),
    running,
    done,
    newRun("ftjob-broken", {
      status: "failed",
      created_at: seconds - 86_400,
      started_at: seconds - 86_400,
      finished_at: seconds - 86_399,
      training_file: "file-broken",
      data: null,
      error: {
        code: "invalid_file",
        message: "rows.jsonl:13: this line is no JSON object; every line holds one row.",
        param: null,
      },
    }),
    newRun("ftjob-kind-1", {
      status: "succeeded",
      created_at: seconds - 9 * 86_400,
      started_at: seconds - 9 * 86_400,
      finished_at: seconds - 9 * 86_400 + 187,
      suffix: "kind-1",
      fine_tuned_model: "base:kind-1",
      gate: gate(0.71),
    }),
  ];
  return state;
}
