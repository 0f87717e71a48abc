"""What a thing keeps so that it outlives its process, in a folder of its own."""
