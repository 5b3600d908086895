"""How far the numbers can be trusted: parity of stream and batch, conservation of messages."""
