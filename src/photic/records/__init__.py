"""The nouns: frozen plain data that code either makes or reads. No torch here."""
