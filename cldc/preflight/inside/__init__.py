"""Programs for the environment that trains: TensorFlow reads the images, and a trained model predicts them."""
