"""Who watches machines, one tracer a file. Importing this loads none of them."""
