// Two models answer each question blind, side by side. Which is left is drawn for each question; the names are shown once
// both answers are judged, and the score is kept.

import { useStored } from "../../parts/state.js";
import { html } from "../../vendor.js";
import { Answer, ask, messagesOf, newAnswer, stoppedAnswer } from "./answer.js";
import { Composer } from "./composer.js";
import { NewConversation, useConversation, useFollowing } from "./conversation.js";
import { ModelChoice, SettingsPanel, useSettings } from "./settings.js";

const sides = ["A", "B"];

/** The two that are worth comparing first: the base and what clients get, or the newest adapter. */
function firstPair(models) {
  const adapters = models.filter(({ id }) => id.startsWith("base:"));
  const newest = adapters.toSorted((a, b) => b.created - a.created)[0];
  return ["base", (newest ?? models.find(({ arms }) => arms) ?? models[0]).id];
}

/** Thumbs up and all thumbs of each model, over the questions that were revealed. */
function score(turns) {
  const tally = new Map();
  for (const { answers } of turns.filter(({ revealed }) => revealed)) {
    for (const { model, thumb } of answers) {
      if (!thumb) continue;
      const { up = 0, all = 0 } = tally.get(model) ?? {};
      tally.set(model, { up: up + (thumb.label ? 1 : 0), all: all + 1 });
    }
  }
  return [...tally];
}

const stopped = (turn) => ({ ...turn, answers: turn.answers.map(stoppedAnswer) });

/** @param models as the API lists them */
export function Comparison({ models }) {
  const [settings, change] = useSettings();
  const [chosen, choose] = useStored("compared models", firstPair(models));
  const pair = chosen.every((model) => models.some(({ id }) => id === model)) ? chosen : firstPair(models);
  const { turns, user, busy, begin, update, stop, clear } = useConversation("comparison", stopped);
  useFollowing(turns);
  const send = (question) => {
    const asked = Math.random() < 0.5 ? pair : pair.toReversed();
    const messages = messagesOf(settings.system, [], question);
    begin(
      { question, answers: asked.map(newAnswer), revealed: false },
      (updateTurn, signal) =>
        Promise.all(asked.map((model, side) => {
          const updateAnswer = (change) =>
            updateTurn((turn) => ({ ...turn, answers: turn.answers.with(side, change(turn.answers[side])) }));
          return ask(model, messages, settings, user, updateAnswer, signal);
        })),
    );
  };
  const tally = score(turns);
  return html`
    <div class="beside">
      <section class="conversation" aria-label="Comparison">
        <div class="turns">
          ${turns.length === 0 && html`
            <div class="welcome">
              <p>Each question is asked on its own. The names stay hidden until you have judged both answers.</p>
            </div>
          `}
          ${turns.map(({ id, question, answers, revealed }, index) =>
            html`
              <article key=${id} class="turn">
                <h2 class="visually-hidden">Question ${index + 1}</h2>
                <p class="question">${question}</p>
                <div class="versus">
                  ${answers.map((answer, side) =>
                    html`
                      <section class="card side" aria-label="Answer ${sides[side]}">
                        <h3>Answer ${sides[side]}</h3>
                        <${Answer}
                          answer=${answer}
                          name="answer ${sides[side]}"
                          showModel=${revealed}
                          update=${(change) =>
                            update(
                              id,
                              (turn) => ({ ...turn, answers: turn.answers.with(side, change(turn.answers[side])) }),
                            )}
                        />
                      </section>
                    `
                  )}
                </div>
                <${Reveal} answers=${answers} revealed=${revealed} reveal=${() =>
                  update(id, (turn) => ({ ...turn, revealed: true }))} />
              </article>
            `
          )}
        </div>
        ${turns.length > 0 && html`<${NewConversation} name="New comparison" clear=${clear} />`}
        <${Composer} name="comparison" busy=${busy} onAsk=${send} onStop=${stop} />
      </section>
      <${SettingsPanel} settings=${settings} change=${change}>
        <${ModelChoice} label="First model" models=${models} value=${pair[0]} onChoose=${(model) =>
          choose([model, pair[1]])} />
        <${ModelChoice} label="Second model" models=${models} value=${pair[1]} onChoose=${(model) =>
          choose([pair[0], model])} />
        ${tally.length > 0 && html`
          <div class="tally">
            <h3>Revealed so far</h3>
            <dl>
              ${tally.map(([model, { up, all }]) =>
                html`
                  <div key=${model}>
                    <dt>${model}</dt>
                    <dd>${up} of ${all} up</dd>
                  </div>
                `
              )}
            </dl>
          </div>
        `}
      <//>
    </div>
  `;
}

/** The button that ends the blindness. */
function Reveal({ answers, revealed, reveal }) {
  if (revealed || answers.some(({ state }) => state !== "done")) return null;
  const judged = answers.every(({ thumb }) => thumb);
  return html`
    <div class="reveal">
      <button type="button" class=${judged ? "primary" : ""} disabled=${!judged} onClick=${reveal}>Reveal</button>
      ${!judged && html`<span class="muted">Judge both answers to see which model gave which.</span>`}
    </div>
  `;
}
