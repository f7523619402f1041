// Hyperparameters by the API's names: what they are called, what they do, and what the trainer takes where nothing is said.

export const hyperparameters = [
  {
    name: "n_epochs",
    label: "Epochs",
    usual: "3",
    hint: "How often all rows are gone through. More learns harder, and by heart sooner.",
  },
  {
    name: "batch_size",
    label: "Batch size",
    usual: "16",
    hint: "Rows that make one step together. Larger is steadier and slower.",
  },
  {
    name: "learning_rate",
    label: "Learning rate",
    usual: "auto",
    hint: "How far one step goes. Automatic fits it to the model's width.",
  },
  {
    name: "lora_rank",
    label: "LoRA rank",
    usual: "8",
    hint: "Room for change. Larger can learn more, in a larger file.",
  },
  {
    name: "beta",
    label: "Beta",
    usual: "0.1",
    hint: "How strongly answers are held to the start. Smaller lets them move further.",
  },
  {
    name: "desirable_weight",
    label: "Weight of thumbs up",
    usual: "auto",
    hint: "Automatic balances the two kinds by their counts.",
  },
  {
    name: "undesirable_weight",
    label: "Weight of thumbs down",
    usual: "auto",
    hint: "Automatic balances the two kinds by their counts.",
  },
];

/** What a hyperparameter is called; its own name where it has no other. */
export const labelOf = (name) => hyperparameters.find((each) => each.name === name)?.label ?? name.replaceAll("_", " ");
