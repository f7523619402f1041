// `deno task gateway`: serves a model over HTTP and collects thumbs, until a signal ends it.

import { startGateway } from "../services/gateway/serve.ts";
import { type GatewayOptions, parseGatewaySettings } from "../services/gateway/settings.ts";
import { device, runCommand, untilStopped } from "./command.ts";
import { program } from "./commands/gateway.ts";

program.action(async (options: GatewayOptions) => {
  device(options.device);
  const stopped = untilStopped();
  const running = await startGateway(parseGatewaySettings(options));
  console.log(`Listening on ${running.address} (API: ${running.address}/docs). Ctrl-C ends it.`);
  await stopped;
  await running.stop();
});

await runCommand(program);
