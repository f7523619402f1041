// Tokens per second when several clients ask at a time; one client, who asks one thing after another, is the bound that
// the others are measured by. It does not print.

import type { ChatTokenizer } from "../../../shared/runtime/chat_tokenizer.ts";
import { type Connection, succeed, withConnections } from "./connection.ts";
import { type ServedModel, startGatewayProcess } from "./gateway_process.ts";
import { chatRequest } from "./questions.ts";
import { median } from "./statistics.ts";

export interface ConcurrencySettings {
  served: ServedModel;
  tokenizer: ChatTokenizer;
  /** Tokens of an answer. */
  tokens: number;
  /** Numbers of clients, the first of them 1. */
  clients: number[];
  /** Answers in each setting, whatever the number of clients. */
  answers: number;
}

export interface ConcurrencyMeasurement {
  clients: number;
  tokensPerSecond: number;
  /** Median over the answers: what one client sees. */
  tokensPerSecondOfClient: number;
}

/** Measures. @param onAnswer called after every answer */
export async function measureConcurrency(
  { served, tokenizer, tokens, clients, answers }: ConcurrencySettings,
  onAnswer: () => void,
): Promise<ConcurrencyMeasurement[]> {
  const gateway = await startGatewayProcess(served);
  const measureOnce = async (clients: number): Promise<ConcurrencyMeasurement> => {
    const own: number[] = [];
    let next = 0, computed = 0;
    const started = performance.now();
    const ask = async (connection: Connection) => {
      while (next < answers) {
        const body = chatRequest(tokenizer, next++, tokens), asked = performance.now();
        const { usage } = await succeed(connection, "POST", "/v1/chat/completions", body);
        computed += usage.completion_tokens;
        own.push(usage.completion_tokens / (performance.now() - asked) * 1000);
        onAnswer();
      }
    };
    await withConnections(gateway.address, clients, (connections) => Promise.all(connections.map(ask)));
    const tokensPerSecond = computed / (performance.now() - started) * 1000;
    return { clients, tokensPerSecond, tokensPerSecondOfClient: median(own) };
  };
  try {
    const measured: ConcurrencyMeasurement[] = [];
    // Once to warm up, with as many clients as there will be.
    await measureOnce(Math.max(...clients));
    for (const each of clients) measured.push(await measureOnce(each));
    return measured;
  } finally {
    await gateway.stop();
  }
}
