"""What several tests share: tiny models, toy plugins and runs, records."""
