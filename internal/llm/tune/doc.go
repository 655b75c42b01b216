// Package tune fine-tunes language models as mlx_lm.lora does: adapters (LoRA, DoRA) or
// the last layers whole.
//
// Prepare puts adapters into a model, Loss is what is made smaller, a Trainer runs (its
// compiled step is in stepper.go). Nothing here reads flags or prints.
package tune
