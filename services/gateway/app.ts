// The gateway's HTTP face: middleware in its order, then the routes. It starts nothing: give it a gateway and call fetch.

import { OpenAPIHono } from "@hono/zod-openapi";
import { rateLimiter } from "hono-rate-limiter";
import { bodyLimit } from "hono/body-limit";
import { every } from "hono/combine";
import { cors } from "hono/cors";
import { requestId } from "hono/request-id";
import { secureHeaders } from "hono/secure-headers";
import type { Gateway, GatewayEnv } from "./gateway.ts";
import { identify, requireHost, requireOrigin } from "./http/authorize.ts";
import { ApiError, asApiError, sendError, tooLarge, validationError } from "./http/errors.ts";
import { hidingFolders } from "./http/own_folders.ts";
import { allowedMethods, answerOptions, endBodiesOfHead } from "./http/methods.ts";
import { boundJson, refusePacked } from "./http/json_body.ts";
import { countUsage } from "./http/quota.ts";
import { rateWindows } from "./http/rate_windows.ts";
import { observeRequests } from "./http/request_log.ts";
import { addAdapters } from "./routes/adapters.ts";
import { addAliases } from "./routes/aliases.ts";
import { addAnswers } from "./routes/answers.ts";
import { addChat } from "./routes/chat.ts";
import { addConsole } from "./routes/console.ts";
import { addCompletions } from "./routes/completions.ts";
import { addExperiments } from "./routes/experiments.ts";
import { addFeedback } from "./routes/feedback.ts";
import { addFeedbackFiles, importPath } from "./routes/feedback_files.ts";
import { addFiles, filesPath } from "./routes/files.ts";
import { addFineTuning } from "./routes/fine_tuning.ts";
import { addHygiene } from "./routes/hygiene.ts";
import { addMe } from "./routes/me.ts";
import { addModels } from "./routes/models.ts";
import { addOperation } from "./routes/operation.ts";
import { addRegistry } from "./routes/registry.ts";
import { addTrainer } from "./routes/trainer.ts";

/** Longest body of a request, in bytes; those that are files have limits of their own. */
const largestBody = 4 * 2 ** 20;

/** Paths that are answered whatever limits are reached: who watches over the gateway must not take it for dead. */
export const probes = ["/healthz", "/readyz", "/metrics"];

/** Builds the app. @param addressOf the address a request comes from, for limits of those without a key */
export function createApp(gateway: Gateway, addressOf: (request: Request) => string): OpenAPIHono<GatewayEnv> {
  const { options } = gateway, hide = hidingFolders([gateway.dataFolder, ...options.folders]);
  const app = new OpenAPIHono<GatewayEnv>({
    // A slash at a path's end changes nothing.
    strict: false,
    defaultHook: (result) => {
      if (!result.success) throw validationError(result.error);
    },
  });
  app.onError((error, context) => {
    const refusal = asApiError(error);
    if (refusal) return sendError(context, context.get("caller")?.everyones ? refusal : hide(refusal));
    const request_id = context.get("requestId");
    if (context.req.raw.signal.aborted) return sendError(context, new ApiError(499 as 400, "The client hung up."));
    gateway.log.error("failed", { request_id, error: error.message, stack: error.stack });
    return sendError(context, new ApiError(500, `Something went wrong here; the log has it under ${request_id}.`));
  });
  app.notFound((context) => {
    const { method, path } = context.req, allowed = allowedMethods(app, path);
    if (allowed.length > 0) {
      const message = `${path} takes ${allowed.join(", ")}, not ${method}.`;
      return sendError(context, new ApiError(405, message, null, "method_not_allowed", { Allow: allowed.join(", ") }));
    }
    return sendError(
      context,
      new ApiError(404, `There is no ${method} ${path} here; /docs lists what is.`, null, "unknown_url"),
    );
  });

  app.use(endBodiesOfHead);
  app.use(requestId());
  app.use(observeRequests(gateway));
  app.use(secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'self'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", "data:"],
      frameAncestors: ["'none'"],
      baseUri: ["'none'"],
      formAction: ["'self'"],
    },
    crossOriginResourcePolicy: options.corsOrigins.length > 0 ? "cross-origin" : "same-origin",
    strictTransportSecurity: false,
  }));
  app.use(requireHost(gateway));
  if (options.corsOrigins.length > 0) {
    app.use(cors({
      origin: options.corsOrigins,
      // No list of headers: those that the page asks for are allowed. Clients add their own (x-stainless-…).
      exposeHeaders: ["X-Request-Id", "Retry-After"],
      maxAge: 3600,
    }));
  }
  app.use(answerOptions(app));
  app.use(requireOrigin(gateway));
  app.use(identify(gateway));
  if (options.rateLimit > 0) {
    app.use(rateLimiter<GatewayEnv>({
      skip: (context) => probes.includes(context.req.path),
      windowMs: 60_000,
      store: rateWindows(60_000),
      limit: options.rateLimit,
      standardHeaders: "draft-6",
      keyGenerator: (context) => context.get("key")?.id ?? addressOf(context.req.raw),
      handler: () => {
        throw new ApiError(
          429,
          `More than ${options.rateLimit} requests in a minute; wait a little.`,
          null,
          "rate_limit",
          {
            "Retry-After": "60",
          },
        );
      },
    }));
  }
  app.use(countUsage(gateway.usage, probes));
  const limit = bodyLimit({
    maxSize: largestBody,
    onError: () => {
      throw tooLarge(largestBody);
    },
  });
  // A body without Content-Length is held in memory to be measured; files are measured while they are written.
  const files = new Set([filesPath, importPath]);
  const inMemory = every(limit, boundJson);
  app.use(refusePacked);
  app.use((context, next) => files.has(context.req.path) ? next() : inMemory(context, next));

  addChat(app, gateway);
  addCompletions(app, gateway);
  addMe(app, gateway);
  addModels(app, gateway);
  addAdapters(app, gateway);
  addFeedbackFiles(app, gateway);
  addHygiene(app, gateway);
  addFeedback(app, gateway);
  addAnswers(app, gateway);
  addExperiments(app, gateway);
  addFiles(app, gateway);
  addFineTuning(app, gateway);
  addTrainer(app, gateway);
  addRegistry(app, gateway);
  addAliases(app, gateway);
  addOperation(app, gateway);
  addConsole(app);
  return app;
}
