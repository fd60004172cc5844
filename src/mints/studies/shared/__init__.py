"""What several studies' steps do alike; it imports no study, and every study may import it."""
