"""Event-loop stalls: the line that blocked the loop, the request it did it for, and how many others it held up."""
