"""How the pipeline is: what the stores say of it, whether every offset is accounted for, and the telling of both."""
