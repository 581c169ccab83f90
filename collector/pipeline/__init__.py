"""The loops between vendors and sinks: poll, schedule, deliver, look after the state."""
