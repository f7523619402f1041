// Server-sent events as OpenAI streams them: one JSON object a `data:` line, `[DONE]` last. A client that hangs up ends
// the source at once. It does not know what is streamed.

import { ApiError, asApiError, errorBody } from "./errors.ts";

const encoder = new TextEncoder();

/**
 * A streaming response.
 *
 * @param source what is sent; an error in it is sent as OpenAI sends one, and ends the stream without `[DONE]`
 * @param onFailure told of errors that are no refusal
 */
export function eventStream(source: AsyncGenerator<unknown>, onFailure: (error: unknown) => void): Response {
  let hungUp = false;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const send = (text: string) => controller.enqueue(encoder.encode(`data: ${text}\n\n`));
      try {
        const { done, value } = await source.next();
        if (hungUp) return;
        if (!done) return send(JSON.stringify(value));
        send("[DONE]");
      } catch (error) {
        if (hungUp) return;
        const refusal = asApiError(error);
        if (!refusal) onFailure(error);
        send(JSON.stringify(errorBody(refusal ?? new ApiError(500, "The answer could not be finished."))));
      }
      controller.close();
    },
    async cancel() {
      hungUp = true;
      await source.return(undefined).catch(() => {});
    },
  });
  const headers = { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache, no-transform" };
  return new Response(body, { headers });
}
