"""What `init` makes in an AWS account, or at another server that speaks S3."""
