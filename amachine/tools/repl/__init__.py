"""The prompt of `amachine run`, a room for each thing: words, values, completion, commands, the two ways to read lines."""
