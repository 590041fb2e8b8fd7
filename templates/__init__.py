"""What is data, or is copied out to the user: profiles, requirements, scripts, pages."""
