// What ONNX Runtime says, as one sentence for people: without its source files and signatures, without the whole listing of
// a node's inputs. It does not know what the sentence is about.

/** Longest sentence, in characters. */
const longest = 400;

/** `In Node, ("name", Operator, "domain", -1) : (inputs) -> (outputs) , Error …` and what becomes of it. */
const nodeListing = /\(?In Node, \("(.*?)", ?([^,]*), "[^"]*", -?\d+\) :[\s\S]*? , Error:? ?/;

/** One sentence of an error of ONNX Runtime, without the full stop at its end. */
export function runtimeSentence(error: Error): string {
  const sentence = error.message
    // deno-lint-ignore no-control-regex -- names out of damaged files
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f\ufffd]/g, "\ufffd")
    .replace(/\s+/g, " ")
    .replace(/^(Error: |Exception during initialization: |Fatal error: |\[ONNXRuntimeError\] : \d+ : \w+ : )+/, "")
    .replace(/^Load model from .*? failed: ?/, "")
    .replace(/(Exception during initialization: |Fatal error: )/g, "")
    .replace(
      /\/\S*onnxruntime\S*\.(cc|h|cpp):\d+ [^()]*(\([^()]*\)|\([^()]*\([^()]*\)[^()]*\))( const)?( \[.*?\])? /g,
      "",
    )
    .replace(/^(This is an invalid model|Invalid model)\. ?/, "")
    .replace(nodeListing, (_, name: string, operator: string) => `node "${name}" (${operator}): `)
    .replace(
      /Non-zero status code returned while running (\S+) node\. Name:'(.*?)' Status Message: /,
      (_, operator: string, name: string) => `node "${name}" (${operator}): `,
    )
    .trim().replace(/\.$/, "");
  return sentence.length > longest ? `${sentence.slice(0, longest)}…` : sentence;
}
