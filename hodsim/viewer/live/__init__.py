"""Live windows: a presenter that says what is drawn, and windows that draw it."""
