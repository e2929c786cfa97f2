"""The live page: a trained model in the browser, prompts on an image and masks over it."""
