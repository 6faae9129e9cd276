"""What must not leave the process: personal data and secrets, masked before they are encoded."""
