// What ONNX Runtime says becomes a sentence.

import { assertEquals } from "@std/assert";
import { runtimeSentence } from "../../shared/runtime/runtime_errors.ts";

const said = (message: string) => runtimeSentence(new Error(message));

Deno.test("ONNX Runtime's source files, signatures and lists of inputs are left out", () => {
  assertEquals(
    said(
      "Load model from /tmp/a b/model.onnx failed:/onnxruntime_src/onnxruntime/core/graph/graph.cc:1555 void " +
        "onnxruntime::Graph::InitializeStateFromModelFileGraphProto() This is an invalid model. Graph output (x) does not " +
        "exist in the graph.\n",
    ),
    "Graph output (x) does not exist in the graph",
  );
  assertEquals(
    said(
      'This is an invalid model. In Node, ("/lm_head/MatMul_Q4", MatMulNBits, "com.microsoft", -1) : ("a": ' +
        'tensor(float16),"b": tensor(uint8),) -> ("logits": tensor(float16),) , Error Field \'type\' is missing.',
    ),
    `node "/lm_head/MatMul_Q4" (MatMulNBits): Field 'type' is missing`,
  );
  assertEquals(
    said(
      "Non-zero status code returned while running Reshape node. Name:'/q/Reshape' Status Message: " +
        "/onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:84 onnxruntime::ReshapeHelper::" +
        "ReshapeHelper(const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) size != 0 was false. It " +
        "cannot be reshaped\n",
    ),
    'node "/q/Reshape" (Reshape): size != 0 was false. It cannot be reshaped',
  );
});

Deno.test("a name out of a damaged file breaks no line, and a long message ends", () => {
  assertEquals(said("Node input '\u001cmodel\nlayers' is not there."), "Node input '\ufffdmodel layers' is not there");
  assertEquals(said("x".repeat(1000)).length, 401);
});
