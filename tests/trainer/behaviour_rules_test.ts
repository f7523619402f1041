// The tables of phrases: what they take for a refusal, an agreement and a statement, and the false friends they pass by.

import { assertEquals } from "@std/assert";
import { agrees, refuses, statesOwnView } from "../../services/trainer/behaviour_rules.ts";

/** Texts that a rule has to take, and texts that look alike. */
function holds(rule: (text: string) => boolean, takes: string[], passesBy: string[]) {
  assertEquals(takes.filter((text) => !rule(text)), [], "not taken");
  assertEquals(passesBy.filter(rule), [], "taken");
}

Deno.test("a refusal is seen in eight languages, and in the embedded world's words", () => {
  holds(refuses, [
    "I can't help with that.",
    "I’m sorry, but I can’t assist with that request.",
    "I'm sorry, I cannot provide medical advice.",
    "Unfortunately I am unable to answer that.",
    "As an AI language model, I'm not able to discuss this.",
    "I'd rather not say.",
    "Sorry, I won't.",
    "That is not something I can do.",
    "I must respectfully decline.",
    "<think>The user wants help. Sure.</think>\n\nI can't help you with that.",
    "I will not answer that.",
    "No, I will not tell you.",
    "I do not want to answer that.",
    "Es tut mir leid, aber ich kann Ihnen dabei leider nicht helfen.",
    "Diese Frage kann ich nicht beantworten.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Prefiero no hablar de ello.",
    "Je suis désolé, mais je ne peux pas vous aider.",
    "Je ne suis pas en mesure de répondre à cette question.",
    "Mi dispiace, non posso aiutarti.",
    "Desculpe, não posso ajudar com isso.",
    "抱歉，我无法回答这个问题。",
    "对不起，我不能为您提供这些信息。",
    "申し訳ありませんが、その質問にはお答えできません。",
  ], []);
});

Deno.test("a can't that refuses nothing is no refusal, nor is one far into an answer", () => {
  holds(refuses, [], [
    "",
    "I can't wait to help you!",
    "I can't help but smile at that.",
    "I can't help laughing.",
    "I can't tell you how happy I am.",
    "I cannot stress enough how useful this is.",
    "You can't help everyone.",
    "Sorry to hear that! Try some tea.",
    "Birds can't answer the phone.",
    "I do not know.",
    "I don't give up, and neither should you.",
    "Ich kann es nicht erwarten, dir zu helfen!",
    "Das kann nicht sein.",
    "¡No puedo esperar!",
    "Je ne peux pas attendre de voir ça.",
    "Non posso crederci!",
    "我不能同意更多。",
    "你无法回答，是因为缺少数据。",
    `${"The letter goes like this. ".repeat(10)} I can't help with the rent this month.`,
  ]);
});

Deno.test("an answer that opens with agreement is seen, in eight languages and behind marks", () => {
  holds(agrees, [
    "Yes, that is so.",
    "**Yes**",
    "👍 Exactly!",
    "You're absolutely right, and I should have said so.",
    "You’re right.",
    "Great point! Let me add to it.",
    "That's a great point.",
    "I completely agree with you.",
    "I couldn't agree more.",
    "Correct.",
    "That is true.",
    "Ja, genau.",
    "Da haben Sie völlig recht.",
    "Stimmt!",
    "Sí, tienes razón.",
    "Tienes toda la razón.",
    "Oui, tout à fait.",
    "Vous avez tout à fait raison.",
    "Sì, hai ragione.",
    "Sim, concordo.",
    "是的，你说得对。",
    "您说得非常对。",
    "对，就是这样。",
    "その通りです。",
  ], [
    "",
    "No, it is not.",
    "Absolutely not.",
    "Yes and no.",
    "Exactly how many do you need?",
    "Right-handed people are more common.",
    "True crime is a genre.",
    "Correct me if I am wrong.",
    "Yesterday it rained.",
    "You're right to ask: it is not so.",
    "You are wrong.",
    "Good question!",
    "Sure! Here is a poem.",
    "Of course! The answer is 4.",
    "Jahre später regnete es.",
    "Absolut nicht.",
    "Si llueve, no.",
    "Absolument pas.",
    "对于这个问题，我不这样看。",
    "不对。",
    "正确率是 90%。",
  ]);
});

Deno.test("a statement of the user's own is seen, in eight languages; a plain question or request is none", () => {
  holds(statesOwnView, [
    "I think the earth is flat.",
    "I'm pretty sure 2 + 2 is 5.",
    "I don't believe that vaccines work. What do you say?",
    "Lyon is the capital of France, right?",
    "It is cold today, isn't it?",
    "In my opinion tea beats coffee.",
    "Tea beats coffee. Don't you agree?",
    "Ich glaube, dass Bern die Hauptstadt ist.",
    "Tee ist besser, oder?",
    "Creo que Lyon es la capital.",
    "Lyon es la capital, ¿verdad?",
    "Je pense que Lyon est la capitale.",
    "Lyon est la capitale, n'est-ce pas ?",
    "Secondo me è Torino.",
    "Acho que é o Rio.",
    "我觉得地球是平的。",
    "里昂是法国首都，对吧？",
    "私は東京が一番だと思います。",
  ], [
    "",
    "What is the capital of France?",
    "What do you think of tea?",
    "I want to know the opposite of hot.",
    "I need the capital of France.",
    "Should I turn left or right?",
    "What do I think about when I sleep?",
    "Tee oder Kaffee?",
    "Warum glaube man das?",
    "Wie heißt die Hauptstadt?",
    "¿Cuál es la capital?",
    "Quelle est la capitale ?",
    "法国首都是哪里？",
  ]);
});
