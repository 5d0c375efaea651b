"""The Open Inference Protocol, version 2, as a worker speaks it: messages, their forms on the wire, and what a model
takes and gives of them."""
