// What the gateway adds to an answer: the same greedy answer by bare transformers.js and by the gateway, whole and
// streamed, turn by turn, so that a busy machine is busy for all of them. It does not print.

import type { ChatTokenizer } from "../../../shared/runtime/chat_tokenizer.ts";
import { type BareProcess, startBare } from "./bare.ts";
import { Connection, succeed } from "./connection.ts";
import { type GatewayProcess, type ServedModel, startGatewayProcess } from "./gateway_process.ts";
import { chatRequest, question } from "./questions.ts";
import { median } from "./statistics.ts";

export interface OverheadSettings {
  /** Path of the command's own file, to be run again as the peer. */
  program: string;
  served: ServedModel;
  tokenizer: ChatTokenizer;
  /** Tokens of an answer. */
  tokens: number;
  /** Answers of each way. */
  rounds: number;
}

/** One way to answer, over all rounds. */
export interface WayMeasurement {
  name: string;
  /** Medians over the rounds. */
  seconds: number;
  cpuSeconds: number;
  fastestSeconds: number;
  /** Medians over the rounds of its share of the first way's in the same round. */
  ratio: number;
  cpuRatio: number;
}

interface Taken {
  text: string;
  seconds: number;
  cpuSeconds: number;
}

type Way = { name: string; answer: (index: number) => Promise<Taken> };

async function streamed(address: string, body: Record<string, unknown>): Promise<string> {
  const response = await fetch(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true }),
  });
  const events = (await response.text()).split("\n\n").filter((event) => event.startsWith("data: {"));
  return events.map((event) => JSON.parse(event.slice(6)).choices[0]?.delta?.content ?? "").join("");
}

function waysOf(
  gateway: GatewayProcess,
  connection: Connection,
  bare: [string, BareProcess][],
  settings: OverheadSettings,
) {
  const timed = async (answer: () => Promise<string>): Promise<Taken> => {
    // Being asked for its usage costs the gateway something, too.
    const used = (await gateway.usage()).cpuSeconds, before = (await gateway.usage()).cpuSeconds;
    const started = performance.now(), text = await answer(), seconds = (performance.now() - started) / 1000;
    return { text, seconds, cpuSeconds: (await gateway.usage()).cpuSeconds - before - (before - used) };
  };
  const body = (index: number) => chatRequest(settings.tokenizer, index, settings.tokens);
  const whole = async (index: number, store: boolean) => {
    const { choices } = await succeed(connection, "POST", "/v1/chat/completions", { ...body(index), store });
    return choices[0].message.content as string;
  };
  const ways: Way[] = [
    ...bare.map(([name, { ask }]) => ({ name, answer: (index: number) => ask(question(index)) })),
    { name: "gateway, whole", answer: (index) => timed(() => whole(index, true)) },
    { name: "gateway, whole, not kept", answer: (index) => timed(() => whole(index, false)) },
    { name: "gateway, streamed", answer: (index) => timed(() => streamed(gateway.address, body(index))) },
  ];
  return ways;
}

/** ONNX Runtime's threads spin on for a while after a run, and would take the next one's time. */
const rest = () => new Promise((resolve) => setTimeout(resolve, 50));

/** Measures; the first way is the peer as it comes, on all cores like the gateway. @throws Error where texts differ */
export async function measureOverhead(settings: OverheadSettings, onAnswer: () => void): Promise<WayMeasurement[]> {
  const { program, served: { folder, dtype }, tokenizer, tokens, rounds } = settings;
  const bareWith = (threads: number | null) =>
    startBare(program, { folder, dtype, threads, tokens, eosTokenIds: tokenizer.eosTokenIds });
  const bare: [string, BareProcess][] = [
    ["transformers.js, its own threads", bareWith(null)],
    ["transformers.js, 1 thread", bareWith(1)],
  ];
  const gateway = await startGatewayProcess(settings.served);
  try {
    using connection = await Connection.open(gateway.address);
    const ways = waysOf(gateway, connection, bare, settings);
    const taken = ways.map((): Taken[] => []);
    // The first two rounds warm up: sessions, and the compiler of JavaScript.
    for (let round = -2; round < rounds; round++) {
      const texts: string[] = [], turns = [...ways.entries()];
      // To and fro, so that nobody always follows the same one.
      for (const [at, { answer }] of round % 2 === 0 ? turns : turns.reverse()) {
        await rest();
        const each = await answer(round + 2);
        texts[at] = each.text;
        if (round >= 0) taken[at]!.push(each);
        onAnswer();
      }
      const other = texts.findIndex((text) => text !== texts[0]);
      if (other > 0) {
        throw new Error(
          `${ways[other]!.name} answered ${JSON.stringify(texts[other])}, not ${JSON.stringify(texts[0])}`,
        );
      }
    }
    return ways.map(({ name }, at) => summary(name, taken[at]!, taken[0]!));
  } finally {
    await Promise.all([gateway.stop(), ...bare.map(([, process]) => process.stop())]);
  }
}

function summary(name: string, own: Taken[], first: Taken[]): WayMeasurement {
  return {
    name,
    seconds: median(own.map(({ seconds }) => seconds)),
    cpuSeconds: median(own.map(({ cpuSeconds }) => cpuSeconds)),
    fastestSeconds: Math.min(...own.map(({ seconds }) => seconds)),
    ratio: median(own.map(({ seconds }, round) => seconds / first[round]!.seconds)),
    cpuRatio: median(own.map(({ cpuSeconds }, round) => cpuSeconds / first[round]!.cpuSeconds)),
  };
}
