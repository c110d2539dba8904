"""Messages generated from proto/; protobuf and nothing else."""
