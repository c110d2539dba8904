"""gRPC stubs generated from proto/."""
